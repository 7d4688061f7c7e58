"""Every public operation, in every accepted dtype, on every engine, against NumPy in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tripy as tp
from tripy.engines.base import is_installed

from .cases import ALL, MODES, inputs_of
from .compare import difference
from .running import DTYPES, EXCLUSIONS, Exclusion, check, engine_of, group, groups, refusal
from .tables import ROWS

#: Public names that are no operations.
_OTHERS = """
floating integer dtype device devices types onnx random distributed config logger __version__
compile Executable InputInfo DimensionInputInfo Bounds NamedDimension Tensor DimensionSize
Module Parameter Stream default_stream register_plugin load_safetensors save_safetensors
"""
NO_OPERATIONS = {*DTYPES, *_OTHERS.split(), *(n for n in tp.__all__ if n.startswith("Tripy"))}
#: What the fast subset runs: each operation in the main dtypes, interpreted and compiled.
FAST = [(dtype, "eager") for dtype in ("float32", "int32", "bool")] + [
    ("float32", "openvino static")
]
OPERATIONS = [*tp.__all__, *(f"random.{name}" for name in dir(tp.random))]


def runs() -> list[Any]:
    return [
        pytest.param(name, dtype, mode, marks=() if (dtype, mode) in FAST else pytest.mark.slow)
        for mode in MODES
        for name, dtype in groups(mode)
    ]


@pytest.mark.parametrize(("name", "dtype", "mode"), runs())
def test_results_are_right(name: str, dtype: str, mode: str) -> None:
    if not is_installed(engine_of(mode)):
        pytest.skip(f"the engine of {mode!r} is not installed")
    problems = check(name, dtype, mode)
    assert not problems, "\n".join(problems)


def test_every_operation_has_a_row() -> None:
    operations = {row.public for row in ROWS.values()}
    assert sorted(set(OPERATIONS) - NO_OPERATIONS - operations) == []
    assert NO_OPERATIONS.isdisjoint(operations)


REFUSED = [
    (name, dtype)
    for name, row in ROWS.items()
    for dtype in ALL
    if dtype not in (*row.accepts, *row.elsewhere)
]


@pytest.mark.parametrize(("name", "dtype"), REFUSED)
def test_other_dtypes_are_refused(name: str, dtype: str) -> None:
    case = ROWS[name].cases[0]
    arrays = inputs_of(name, dtype, 0, case)
    tensors = [tp.Tensor(array) for array in arrays]
    with pytest.raises(tp.TripyTypeError):
        case.run(*tensors)


DECLARED = [(row.name, name) for row in ROWS.values() for name in row.parameters]


@pytest.mark.parametrize(("name", "parameter"), DECLARED)
def test_declared_dtypes_are_those_of_the_table(name: str, parameter: str) -> None:
    declared: dict[str, Any] = getattr(tp, ROWS[name].public).__tripy_dtypes__
    assert sorted(kind.name for kind in declared[parameter]) == sorted(ROWS[name].accepts)


def test_every_accepted_dtype_has_a_case() -> None:
    lacking = [(n, d) for n, row in ROWS.items() for d in row.accepts if not row.of(d)]
    assert lacking == []


SECOND = [
    (item.row.name, item.dtype, item.number)
    for row in ROWS.values()
    for dtype in ("float32", "float64")
    for item in (group(row.name, dtype) if dtype in row.accepts else ())
    if item.case.torch is not None
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype", "number"), SECOND)
def test_torch_agrees_with_the_oracle(name: str, dtype: str, number: int) -> None:
    torch = pytest.importorskip("torch")
    item = next(item for item in group(name, dtype) if item.number == number)
    inputs = item.inputs()
    assert item.case.torch is not None
    got = item.case.torch(*map(torch.from_numpy, inputs))
    assert difference(item.case, got.numpy(), inputs, dtype, None, True) is None


# --- exclusions ------------------------------------------------------------------------------

LISTED = [(line, name, dtype) for line in EXCLUSIONS for name, dtype in line.covered]


@pytest.mark.slow
@pytest.mark.parametrize(("line", "name", "dtype"), LISTED)
def test_listed_exclusions_are_needed(line: Exclusion, name: str, dtype: str) -> None:
    if not is_installed(line.engine):
        pytest.skip(f"the engine {line.engine!r} is not installed")
    messages = (
        refusal(item, line.engine, dynamic)
        for item in reversed(group(name, dtype))
        for dynamic in (True, False)
        if any(line.engine in mode for mode in item.case.modes)
    )
    assert any(line.words in message for message in messages if message)


def test_a_refusal_names_operation_dtype_and_line() -> None:
    info = tp.InputInfo((2,), tp.float64)
    with pytest.raises(tp.TripyUnsupportedError) as caught:
        tp.compile(tp.exp, args=[info], engine="openvino")
    assert all(word in str(caught.value) for word in ("exp", "float64", Path(__file__).name))


def test_exclusions_name_rows_and_reasons() -> None:
    assert all(line.covered and line.words and line.reason for line in EXCLUSIONS)


# --- what only eager code does ---------------------------------------------------------------

OUTSIDE: dict[str, Any] = {
    "gather": lambda x, i: tp.gather(x, 0, i),
    "take_along_dim": lambda x, i: tp.take_along_dim(x, 0, i),
    "scatter": lambda x, i: tp.scatter(x, 0, i, 1.0),
    "x[i]": lambda x, i: x[i],
    "x[i, i]": lambda x, i: tp.stack([x, x])[i * 0, i],
}


THRESHOLDS = pytest.mark.parametrize("threshold", [None, 0])


@THRESHOLDS
@pytest.mark.parametrize("value", [3, -4, 127, -128])
@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_out_of_range_is_an_error_of_eager_code(
    name: str, value: int, threshold: int | None
) -> None:
    x, index = tp.Tensor([1.0, 2.0, 3.0]), tp.Tensor([0, value], tp.int8)
    with tp.config.override(eager_threshold=threshold), pytest.raises(tp.TripyIndexError):
        OUTSIDE[name](x, index).eval()


@THRESHOLDS
def test_a_negative_exponent_is_an_error_of_eager_code(threshold: int | None) -> None:
    x, exponent = tp.Tensor([1, 2, 3]), tp.Tensor([1, -1, 2])
    with tp.config.override(eager_threshold=threshold), pytest.raises(tp.TripyValueError):
        (x**exponent).eval()
    with pytest.raises(tp.TripyValueError):
        x**-1


def test_division_by_the_number_zero_is_an_error() -> None:
    x = tp.Tensor([1, 2, 3])
    with pytest.raises(tp.TripyValueError):
        x // 0
    with pytest.raises(tp.TripyValueError):
        x % 0

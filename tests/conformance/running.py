"""Runs the cases of one row and dtype together, in each way that the library offers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tripy as tp
from tripy.evaluate import evaluate

from .cases import MODES, Array, Case, Row, Spec, inputs_of
from .compare import difference
from .tables import ROWS

DTYPES = {kind.name: kind for kind in vars(tp).values() if isinstance(kind, tp.dtype)}


@dataclass(frozen=True)
class Numbered:
    """A case with what is needed to make its inputs."""

    row: Row
    dtype: str
    number: int
    case: Case

    def inputs(self, larger: bool = False) -> list[Array]:
        return inputs_of(self.row.name, self.dtype, self.number, self.case, larger)


@functools.cache
def group(name: str, dtype: str) -> tuple[Numbered, ...]:
    """The cases of a row that run in a dtype."""
    row = ROWS[name]
    numbered = [Numbered(row, dtype, n, c) for n, c in enumerate(row.cases)]
    return tuple(item for item in numbered if dtype in item.case.dtypes)


def groups(mode: str) -> Iterator[tuple[str, str]]:
    """The (row, dtype) pairs that have something to run in a mode."""
    for name, row in ROWS.items():
        for dtype in row.accepts:
            # XLA compiles dynamic graphs for each size, so what a dtype needs shows in static ones.
            is_covered = mode == "xla dynamic" and dtype not in ("float32", "int64", "bool")
            if not is_covered and any(mode in item.case.modes for item in group(name, dtype)):
                yield name, dtype


# --- exclusions ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exclusion:
    """A line of exclusions.txt: what an engine may refuse, words of its message, and why."""

    engine: str
    names: tuple[str, ...]  # rows; "*" for all, "-name" for all but this one
    dtypes: tuple[str, ...]
    words: str
    reason: str

    def covers(self, name: str, dtype: str) -> bool:
        named = name in self.names or ("*" in self.names and f"-{name}" not in self.names)
        return named and dtype in self.dtypes

    @property
    def covered(self) -> list[tuple[str, str]]:
        """The (row, dtype) pairs that an engine would compute but for this line."""
        return [
            (row.name, dtype)
            for row in ROWS.values()
            for dtype in row.accepts
            if row.computes and self.covers(row.name, dtype)
        ]


def read_exclusions() -> list[Exclusion]:
    lines = (Path(__file__).parent / "exclusions.txt").read_text().splitlines()
    rows = [[p.strip() for p in line.split("|")] for line in lines if line and line[0] != "#"]
    return [
        Exclusion(engine, tuple(names.split(", ")), tuple(dtypes.split()), words, reason)
        for engine, names, dtypes, words, reason in rows
    ]


EXCLUSIONS = read_exclusions()


def engine_of(mode: str) -> str:
    """The engine that computes in a mode, on the default device."""
    if not mode.startswith("eager"):
        return mode.split()[0]
    if tp.devices()[0].kind == "gpu":
        return "xla"
    return "openvino" if mode == "eager compiled" else "reference"


def lines_for(item: Numbered, mode: str) -> list[Exclusion]:
    lines = [line for line in EXCLUSIONS if line.engine == engine_of(mode)]
    return [line for line in lines if line.covers(item.row.name, item.dtype)]


def reasons(message: str) -> str:
    """The reasons of a refusal, without where it happened."""
    return "; ".join(sorted(set(re.findall(r"(\w+ \(.*?\)), at ", message)))) or message


# --- running ---------------------------------------------------------------------------------


def _described(item: Numbered, spec: Spec, shape: Sequence[int], dynamic: bool) -> list[Any]:
    """The dims of an input; the range of a dynamic one holds its size, but not as the optimum."""
    if not dynamic:
        return list(shape)
    dims: list[Any] = []
    for at, size in enumerate(shape):
        low = min(size, 1 + at % 2)
        bounds = (low, size + 2 if size != 1 else 1, size + 3)
        named = spec.name and at == 0
        if at in spec.static:
            bounds = (size, size, size)
        dims.append(tp.NamedDimension(f"{spec.name}{item.number}", *bounds) if named else bounds)
    return dims


def _flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _tensors(item: Numbered, arrays: Sequence[Array], taken: Iterator[Any]) -> list[Any]:
    """The arguments of a case: Parameters for constants, the next inputs for the others."""
    pairs = zip(item.case.inputs, arrays, strict=True)
    return [tp.Parameter(array) if spec.constant else next(taken) for spec, array in pairs]


def _open(item: Numbered, arrays: Sequence[Array]) -> list[tuple[Spec, Array]]:
    pairs = zip(item.case.inputs, arrays, strict=True)
    return [(spec, array) for spec, array in pairs if not spec.constant]


def compiled(items: Sequence[Numbered], engine: str, dynamic: bool) -> tp.Executable:
    """One Executable that returns the results of all cases."""

    def together(*tensors: Any) -> list[Any]:
        taken = iter(tensors)
        return [_flat(item.case.run(*_tensors(item, item.inputs(), taken))) for item in items]

    args = [
        tp.InputInfo(_described(item, spec, array.shape, dynamic), DTYPES[spec.dtype or item.dtype])
        for item in items
        for spec, array in _open(item, item.inputs())
    ]
    return tp.compile(together, args=args, engine=engine)


Results = list[tuple[Numbered, bool, list[Any]]]  # case, whether larger, its results


def run_compiled(items: Sequence[Numbered], engine: str, dynamic: bool) -> Results:
    executable = compiled(items, engine, dynamic)
    results: Results = []
    for larger in (False, True)[: 1 + dynamic]:
        arrays = [array for item in items for _, array in _open(item, item.inputs(larger))]
        rows = executable(*arrays)
        results += [(item, larger, row) for item, row in zip(items, rows, strict=True)]
    return results


def run_eager(items: Sequence[Numbered], threshold: int | None) -> Results:
    """Evaluates all results at once, so that few programs are built."""
    results: Results = []
    for item in items:
        arrays = item.inputs()
        tensors = iter([tp.Tensor(array) for _, array in _open(item, arrays)])
        results.append((item, False, _flat(item.case.run(*_tensors(item, arrays, tensors)))))
    with tp.config.override(eager_threshold=threshold):
        evaluate([tensor._value for _, _, row in results for tensor in row])
    return results


RUNNERS: dict[str, Callable[[Sequence[Numbered]], Results]] = {
    "eager": functools.partial(run_eager, threshold=None),
    "eager compiled": functools.partial(run_eager, threshold=0),
    "reference static": functools.partial(run_compiled, engine="reference", dynamic=False),
    "reference dynamic": functools.partial(run_compiled, engine="reference", dynamic=True),
    "openvino static": functools.partial(run_compiled, engine="openvino", dynamic=False),
    "openvino dynamic": functools.partial(run_compiled, engine="openvino", dynamic=True),
    "xla static": functools.partial(run_compiled, engine="xla", dynamic=False),
    "xla dynamic": functools.partial(run_compiled, engine="xla", dynamic=True),
}
assert tuple(RUNNERS) == MODES


#: On GPUs cuDNN may round a convolution before its bias is added, and the weights of an attention.
ROUNDED_TWICE = {"conv", "Conv", "conv_transpose", "ConvTranspose"} | {
    "scaled_dot_product_attention",
    "MultiHeadAttention",
}


def _expected(item: Numbered, mode: str) -> Case:
    is_on_gpu = engine_of(mode) == "xla" and tp.devices()[0].kind == "gpu"
    if is_on_gpu and item.row.public in ROUNDED_TWICE and item.dtype in ("float16", "bfloat16"):
        return replace(item.case, roundings=item.case.roundings + 1)
    return item.case


def _judge(results: Results, mode: str) -> list[str]:
    problems = []
    free = engine_of(mode) != "reference"
    for item, larger, row in results:
        for part, tensor in enumerate(row):
            which = part if item.case.many else None
            inputs = item.inputs(larger)
            found = difference(
                _expected(item, mode), tensor.numpy(), inputs, item.dtype, which, free
            )
            if found:
                problems.append(f"[{item.number}] {item.case}{' larger' * larger}: {found}")
    return problems


def refusal(item: Numbered, engine: str, dynamic: bool) -> str | None:
    """What an engine says when it refuses a case."""
    try:
        compiled([item], engine, dynamic)
    except tp.TripyUnsupportedError as problem:
        return str(problem)
    return None


def check(name: str, dtype: str, mode: str) -> list[str]:
    """Run the cases of one row and dtype in a mode; return what is wrong."""
    needed = {mode} if engine_of(mode) != "xla" else {mode, "xla static"}
    items = [item for item in group(name, dtype) if needed.issubset(item.case.modes)]
    # A graph with an excluded operation would be interpreted, and its other cases with it.
    alone = mode == "eager compiled" and any(lines_for(item, mode) for item in items)
    return [p for part in ([[i] for i in items] if alone else [items]) for p in _try(part, mode)]


def _try(items: Sequence[Numbered], mode: str) -> list[str]:
    """Run cases together; parts of them where that fails, to find out which one it is."""
    try:
        return _judge(RUNNERS[mode](items), mode)
    except Exception as problem:
        if len(items) == 1:
            return _explained(items[0], problem, mode)
        middle = len(items) // 2
        found = _try(items[:middle], mode) + _try(items[middle:], mode)
        refused = isinstance(problem, tp.TripyUnsupportedError)
        together = f"{len(items)} cases fail together: {_described_error(problem)}"
        return found if found or refused else [together]


def _explained(item: Numbered, problem: Exception, mode: str) -> list[str]:
    """Nothing for a listed refusal."""
    refused = isinstance(problem, tp.TripyUnsupportedError)
    if refused and any(line.words in str(problem) for line in lines_for(item, mode)):
        return []
    return [f"[{item.number}] {item.case}: {_described_error(problem)}"]


def _described_error(problem: Exception) -> str:
    refused = isinstance(problem, tp.TripyUnsupportedError)
    text = reasons(str(problem)) if refused else " ".join(str(problem).split())[:600]
    return f"{type(problem).__name__}: {text}"

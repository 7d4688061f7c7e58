"""Golden texts, an independent layout oracle (NumPy's own printer) and round trips."""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tripy.printing import format_module, format_state_dict, format_tensor, format_traced

PACKED = {"bfloat16": ml_dtypes.bfloat16, "float8": ml_dtypes.float8_e4m3fn, "int4": ml_dtypes.int4}
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5)
SHAPES_WITH_ZEROS = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


def numpy_type(dtype: str) -> np.dtype[Any]:
    return np.dtype(PACKED[dtype]) if dtype in PACKED else np.dtype(dtype)


def show(values: Any, dtype: str = "float32", **options: int) -> str:
    array = np.asarray(values).astype(numpy_type(dtype))
    return format_tensor(array, dtype, "cpu:0", array.shape, **options)


def values_text(text: str) -> str:
    """The values part of a tensor's text, without the block indentation."""
    body = text.removeprefix("tensor(").partition("dtype=")[0].rstrip(", \n")
    return re.sub(r"(?m)^ {4}", "", body.lstrip("\n")) if body.startswith("\n") else body


def floats(dtype: str) -> st.SearchStrategy[float]:
    finite = hnp.from_dtype(np.dtype(dtype), min_value=-1e4, max_value=1e4)
    return finite | st.sampled_from([math.nan, math.inf, -math.inf])


def parse(text: str, shape: tuple[int, ...]) -> np.ndarray:
    words = {"nan": "NaN", "inf": "Infinity", "True": "true", "False": "false"}
    body = re.sub("nan|inf|True|False", lambda match: words[match[0]], values_text(text))
    parsed = np.array(json.loads(body))
    assert math.prod(shape) == 0 or parsed.shape == shape
    return parsed.reshape(shape)


def counting(*shape: int) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


PLAIN_INPUT = """\
tensor(
    [[[[0.0000, 1.0000, 2.0000, 3.0000],
       [4.0000, 5.0000, 6.0000, 7.0000],
       [8.0000, 9.0000, 10.0000, 11.0000],
       [12.0000, 13.0000, 14.0000, 15.0000]]]],
    dtype=float32, loc=cpu:0, shape=(1, 1, 4, 4))"""

PLAIN_STATE = """\
{
    bias: tensor([0.0000], dtype=float32, loc=cpu:0, shape=(1,)),
    weight: tensor(
        [[[[0.0000, 1.0000],
           [2.0000, 3.0000]]]],
        dtype=float32, loc=cpu:0, shape=(1, 1, 2, 2)),
}"""

PLAIN_OUTPUT = """\
tensor(
    [[[[24.0000, 30.0000, 36.0000],
       [48.0000, 54.0000, 60.0000],
       [72.0000, 78.0000, 84.0000]]]],
    dtype=float32, loc=cpu:0, shape=(1, 1, 3, 3))"""

PADDED_STATE = """\
{
    weight: tensor(
        [[[[0.0000, 1.0000, 2.0000],
           [3.0000, 4.0000, 5.0000],
           [6.0000, 7.0000, 8.0000]]]],
        dtype=float32, loc=cpu:0, shape=(1, 1, 3, 3)),
}"""

PADDED_OUTPUT = """\
tensor(
    [[[[73.0000, 121.0000, 154.0000, 103.0000],
       [139.0000, 187.0000, 202.0000, 113.0000]]]],
    dtype=float32, loc=cpu:0, shape=(1, 1, 2, 4))"""

DEPTHWISE_INPUT = """\
tensor(
    [[[[0.0000, 1.0000, 2.0000],
       [3.0000, 4.0000, 5.0000],
       [6.0000, 7.0000, 8.0000]],

      [[9.0000, 10.0000, 11.0000],
       [12.0000, 13.0000, 14.0000],
       [15.0000, 16.0000, 17.0000]]]],
    dtype=float32, loc=cpu:0, shape=(1, 2, 3, 3))"""

DEPTHWISE_STATE = """\
{
    weight: tensor(
        [[[[0.0000, 1.0000, 2.0000],
           [3.0000, 4.0000, 5.0000],
           [6.0000, 7.0000, 8.0000]]],


         [[[9.0000, 10.0000, 11.0000],
           [12.0000, 13.0000, 14.0000],
           [15.0000, 16.0000, 17.0000]]]],
        dtype=float32, loc=cpu:0, shape=(2, 1, 3, 3)),
}"""

DEPTHWISE_OUTPUT = """\
tensor(
    [[[[204.0000]],

      [[1581.0000]]]],
    dtype=float32, loc=cpu:0, shape=(1, 2, 1, 1))"""

DILATED_INPUT = """\
tensor(
    [[[[0.0000, 1.0000, 2.0000],
       [3.0000, 4.0000, 5.0000],
       [6.0000, 7.0000, 8.0000]]]],
    dtype=float32, loc=cpu:0, shape=(1, 1, 3, 3))"""

DILATED_STATE = """\
{
    weight: tensor(
        [[[[0.0000, 1.0000],
           [2.0000, 3.0000]]]],
        dtype=float32, loc=cpu:0, shape=(1, 1, 2, 2)),
}"""

RANK_3 = """\
tensor(
    [[[0.0000, 1.0000],
      [2.0000, 3.0000]],

     [[4.0000, 5.0000],
      [6.0000, 7.0000]]],
    dtype=float32, loc=cpu:0, shape=(2, 2, 2))"""

ONE_LINERS = [
    (2, "float32", "tensor(2.0000, dtype=float32, loc=cpu:0, shape=())"),
    (True, "bool", "tensor(True, dtype=bool, loc=cpu:0, shape=())"),
    ([[1 / 3]], "float32", "tensor([[0.3333]], dtype=float32, loc=cpu:0, shape=(1, 1))"),
    ([], "float32", "tensor([], dtype=float32, loc=cpu:0, shape=(0,))"),
    (
        np.arange(12),
        "int32",
        "tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9,\n 10, 11], dtype=int32, loc=cpu:0, shape=(12,))",
    ),
    (
        np.arange(1001),
        "float32",
        "tensor([0.0000, 1.0000, 2.0000, ..., 998.0000, 999.0000, 1000.0000], "
        "dtype=float32, loc=cpu:0, shape=(1001,))",
    ),
    (
        [[[[38]]]],
        "float32",
        "tensor([[[[38.0000]]]], dtype=float32, loc=cpu:0, shape=(1, 1, 1, 1))",
    ),
    ([-0.0, 0.0], "float16", "tensor([-0.0000, 0.0000], dtype=float16, loc=cpu:0, shape=(2,))"),
    (-1e-9, "float64", "tensor(-0.0000, dtype=float64, loc=cpu:0, shape=())"),
    (
        [math.nan, -math.nan, math.inf, -math.inf],
        "bfloat16",
        "tensor([nan, nan, inf, -inf], dtype=bfloat16, loc=cpu:0, shape=(4,))",
    ),
    ([448, math.nan], "float8", "tensor([448.0000, nan], dtype=float8, loc=cpu:0, shape=(2,))"),
    ([-8, 7], "int4", "tensor([-8, 7], dtype=int4, loc=cpu:0, shape=(2,))"),
    ([False, True], "bool", "tensor([False, True], dtype=bool, loc=cpu:0, shape=(2,))"),
    (3, "int4", "tensor(3, dtype=int4, loc=cpu:0, shape=())"),
    (0.5, "float8", "tensor(0.5000, dtype=float8, loc=cpu:0, shape=())"),
    ([[]], "int32", "tensor([[]], dtype=int32, loc=cpu:0, shape=(1, 0))"),
    (np.zeros((0, 1)), "bool", "tensor([], dtype=bool, loc=cpu:0, shape=(0, 1))"),
]

BLOCKS = [
    (counting(1, 1, 4, 4), PLAIN_INPUT),
    (np.array([[[[24, 30, 36], [48, 54, 60], [72, 78, 84]]]]), PLAIN_OUTPUT),
    (np.array([[[[73, 121, 154, 103], [139, 187, 202, 113]]]]), PADDED_OUTPUT),
    (counting(1, 2, 3, 3), DEPTHWISE_INPUT),
    (np.array([[[[204]], [[1581]]]]), DEPTHWISE_OUTPUT),
    (counting(1, 1, 3, 3), DILATED_INPUT),
    (counting(2, 2, 2), RANK_3),
]

ZERO_SIZED = [
    ((2, 0), "[[],\n     []]"),
    ((0, 3), "[]"),
    ((2, 0, 3), "[[],\n\n     []]"),
    ((1, 2, 0), "[[[],\n      []]]"),
]


@pytest.mark.parametrize(("values", "dtype", "expected"), ONE_LINERS)
def test_one_line(values: Any, dtype: str, expected: str) -> None:
    assert show(values, dtype) == expected


@pytest.mark.parametrize(("values", "expected"), BLOCKS)
def test_block(values: np.ndarray, expected: str) -> None:
    assert show(values) == expected


@pytest.mark.parametrize(("shape", "body"), ZERO_SIZED)
def test_zero_sized_block(shape: tuple[int, ...], body: str) -> None:
    expected = f"tensor(\n    {body},\n    dtype=float32, loc=cpu:0, shape={shape})"
    assert show(np.zeros(shape)) == expected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({}, "{}"),
        ({"bias": show([0]), "weight": show(counting(1, 1, 2, 2))}, PLAIN_STATE),
        ({"weight": show(counting(1, 1, 3, 3))}, PADDED_STATE),
        ({"weight": show(counting(2, 1, 3, 3))}, DEPTHWISE_STATE),
        ({"weight": show(counting(1, 1, 2, 2))}, DILATED_STATE),
        (
            {"0.a": show(np.arange(3), "int8", linewidth=2)},
            "{\n    0.a: tensor([0, 1,\n     2], dtype=int8, loc=cpu:0, shape=(3,)),\n}",
        ),
    ],
)
def test_state_dict(entries: dict[str, str], expected: str) -> None:
    assert format_state_dict(entries) == expected


def test_module_nests_and_indents() -> None:
    conv = format_module(
        "Conv",
        [
            ("bias", "Parameter", "(shape=(4,), dtype=float32)"),
            ("weight", "Parameter", "(shape=(4, 3, 3, 3), dtype=float32)"),
        ],
    )
    block = [("scale", "Parameter", "(shape=(2,), dtype=float32)"), ("conv", "Module", conv)]
    expected = """\
Block(
    scale: Parameter = (shape=(2,), dtype=float32),
    conv: Module = Conv(
        bias: Parameter = (shape=(4,), dtype=float32),
        weight: Parameter = (shape=(4, 3, 3, 3), dtype=float32),
    ),
)"""
    assert format_module("Block", block) == expected
    outer = format_module("Net", [("block", "Module", expected)]).splitlines()
    assert outer[1:-1] == [f"    {line}" for line in f"block: Module = {expected},".splitlines()]


def test_module_without_members() -> None:
    assert format_module("Identity", []) == "Identity()"
    assert (
        format_module("Net", [("skip", "Module", format_module("Identity", []))])
        == "Net(\n    skip: Module = Identity(),\n)"
    )


def test_traced_tensor_prints_its_name() -> None:
    expected = "tensor(x, dtype=float16, loc=gpu:0, shape=(2, batch))"
    assert format_traced("x", "float16", "gpu:0", "(2, batch)") == expected


def test_int64_is_exact() -> None:
    limits = np.iinfo(np.int64)
    values = [limits.min, limits.max, 2**53 + 1]
    assert values_text(show(values, "int64")) == str(values)


@pytest.mark.parametrize(
    ("precision", "expected"), [(0, "[2, -inf]"), (1, "[1.5, -inf]"), (6, "[1.500000, -inf]")]
)
def test_precision(precision: int, expected: str) -> None:
    assert values_text(show([1.5, -math.inf], precision=precision)) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [(6, "[0, 1, 2,\n 3, 4, 5]"), (7, "[0, 1, 2,\n 3, 4, 5,\n 6]"), (3, "[0, 1, 2]")],
)
def test_rows_of_rank_1(size: int, expected: str) -> None:
    assert values_text(show(np.arange(size), "int16", linewidth=3)) == expected


def test_rows_continue_at_the_nesting_depth() -> None:
    text = show(np.arange(10).reshape(1, 2, 5), "uint8", linewidth=3)
    assert values_text(text) == "[[[0, 1, 2,\n   3, 4],\n  [5, 6, 7,\n   8, 9]]]"


def test_summary_starts_above_the_threshold() -> None:
    assert "..." not in show(np.arange(1000))
    assert values_text(show(np.arange(1001), edgeitems=1)) == "[0.0000, ..., 1000.0000]"


def test_summary_keeps_short_lists_whole() -> None:
    text = show(np.arange(12).reshape(2, 6), "int32", threshold=11, edgeitems=2)
    assert values_text(text) == "[[0, 1, ..., 4, 5],\n [6, 7, ..., 10, 11]]"
    text = show(np.arange(12).reshape(6, 2), "int32", threshold=11, edgeitems=2)
    assert values_text(text) == "[[0, 1],\n [2, 3],\n ...,\n [8, 9],\n [10, 11]]"


def test_summary_without_edges() -> None:
    assert values_text(show(counting(3, 4), threshold=0, edgeitems=0)) == "[...]"


def test_summary_converts_only_what_it_shows() -> None:
    values = np.broadcast_to(np.float32(7), (6, 10**6, 10**6))
    text = format_tensor(values, "float32", "cpu:0", values.shape)
    assert text.count("7.0000") == 6 * 6 * 6
    assert text.count("...") == 6 * 7


@settings(deadline=None)
@given(
    shape=SHAPES,
    seed=st.integers(0, 2**32 - 1),
    threshold=st.sampled_from([0, 20, 1000]),
    edgeitems=st.integers(1, 3),
)
def test_layout_agrees_with_numpy(
    shape: tuple[int, ...], seed: int, threshold: int, edgeitems: int
) -> None:
    values = np.random.default_rng(seed).normal(size=shape) * 1000
    expected = np.array2string(
        values,
        separator=", ",
        max_line_width=10**6,
        threshold=threshold,
        edgeitems=edgeitems,
        formatter={"float_kind": "{:.3f}".format},
    )
    text = show(values, "float64", precision=3, threshold=threshold, edgeitems=edgeitems)
    assert values_text(text) == expected


@settings(deadline=None)
@given(shape=SHAPES_WITH_ZEROS, linewidth=st.integers(1, 6))
def test_rows_and_lines(shape: tuple[int, ...], linewidth: int) -> None:
    text = show(counting(*shape), linewidth=linewidth)
    whole = show(counting(*shape), linewidth=10**6)
    lines = text.splitlines()
    assert "".join(text.split()) == "".join(whole.split())
    assert all(line == line.rstrip() for line in lines)
    assert max(line.count(".") for line in lines) <= linewidth
    block = len(shape) > 1 and max(shape) > 1
    assert (lines[0] == "tensor(") == block
    indents = [len(line) - len(line.lstrip()) for line in lines]
    for (line, _), (following, depth) in pairwise(zip(lines, indents, strict=True)):
        if line.endswith("0,") and following.strip():
            assert depth == len(shape) + 4 * block


@settings(deadline=None)
@given(
    values=st.sampled_from(["int8", "uint8", "int16", "int32", "int64", "bool"]).flatmap(
        lambda name: hnp.arrays(np.dtype(name), SHAPES_WITH_ZEROS)
    )
)
def test_round_trip_of_integers(values: np.ndarray) -> None:
    text = format_tensor(values, values.dtype.name, "cpu:0", values.shape)
    np.testing.assert_array_equal(parse(text, values.shape), values)


@settings(deadline=None)
@given(values=hnp.arrays(np.int8, SHAPES, elements=st.integers(-8, 7)))
def test_round_trip_of_int4(values: np.ndarray) -> None:
    np.testing.assert_array_equal(parse(show(values, "int4"), values.shape), values)


@settings(deadline=None)
@given(
    values=st.sampled_from(["float16", "float32", "float64"]).flatmap(
        lambda name: hnp.arrays(np.dtype(name), SHAPES_WITH_ZEROS, elements=floats(name))
    ),
    precision=st.integers(1, 8),
)
def test_round_trip_of_floats(values: np.ndarray, precision: int) -> None:
    text = format_tensor(values, values.dtype.name, "cpu:0", values.shape, precision=precision)
    bound = 0.5 * 10.0**-precision * (1 + 1e-3)
    printed = parse(text, values.shape)
    np.testing.assert_allclose(printed, values.astype(np.float64), rtol=0, atol=bound)
    np.testing.assert_array_equal(np.signbit(printed), np.signbit(values) & ~np.isnan(values))


@pytest.mark.parametrize(("dtype", "bits"), [("float8", 8), ("bfloat16", 16)])
def test_every_packed_float_round_trips(dtype: str, bits: int) -> None:
    values = np.arange(2**bits).astype(f"uint{bits}").view(PACKED[dtype])
    text = format_tensor(values, dtype, "cpu:0", values.shape, precision=9, threshold=10**6)
    printed = parse(text, values.shape)
    np.testing.assert_allclose(printed, np.array(values.tolist()), rtol=0, atol=0.51e-9)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int4", "int64"])
def test_strided_views_print_in_logical_order(dtype: str) -> None:
    values = np.random.default_rng(5).integers(-8, 8, (4, 6)).astype(numpy_type(dtype))
    view = values[::2, ::-2].T
    assert show(view, dtype) == show(np.ascontiguousarray(view), dtype)
    np.testing.assert_array_equal(parse(show(view, dtype), view.shape), view)

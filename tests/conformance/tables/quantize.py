"""Quantization, and the layers that do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

from .. import oracles
from ..cases import FLOATS, Array, Case, Row, Shape, case, row, special, t
from ..compare import round_to

LIMITS = {"int8": (-128, 127), "int4": (-8, 7)}
CHANNELS = (0.5, 0.25, 1.0, 2.0)


def spread_scale(scale: Any, shape: Shape, dim: int | None) -> Array:
    """One scale per element: of a number, of channels, or of blocks."""
    scale = np.asarray(scale, float)
    if scale.ndim == 0:
        return np.broadcast_to(scale, shape)
    if scale.ndim == 1 and len(shape) > 1:
        assert dim is not None
        column = [1] * len(shape)
        column[dim] = -1
        return np.broadcast_to(scale.reshape(column), shape)
    dim = dim or 0
    return np.repeat(scale, shape[dim] // scale.shape[dim], dim)


def quantized(x: Array, scale: Any, kind: str, dim: int | None = None) -> Array:
    ratio = x / spread_scale(scale, x.shape, dim)
    if kind == "float8":
        return ratio
    return np.nan_to_num(np.clip(np.rint(ratio), *LIMITS[kind])).astype(int).astype(object)


def dequantized(q: Array, scale: Any, dim: int | None = None) -> Array:
    return np.asarray(q, float) * spread_scale(scale, q.shape, dim)


def faked(x: Array, scale: Any, kind: str = "int8", dim: int | None = None) -> Array:
    """There and back."""
    q = quantized(x, scale, kind, dim)
    return dequantized(round_to(q, "float8") if kind == "float8" else q, scale, dim)


# Shape, scale, dim, the dims whose sizes the scale fixes.
MODES: list[tuple[Shape, Any, int | None, tuple[int, ...]]] = [
    *((shape, 0.25, None, ()) for shape in ((), (3,), (2, 3), (0, 3), (2, 1, 3, 2), (2,) * 5)),
    ((2, 4), CHANNELS, -1, (1,)),
    ((4, 0, 2), CHANNELS, 0, (0,)),
    ((1, 4, 2, 3), CHANNELS, 1, (1,)),
]
BLOCKS: list[tuple[Shape, Any, int | None, tuple[int, ...]]] = [
    ((4, 2), ((1.0, 2.0), (0.5, 1.0)), None, (0, 1)),
    ((8,), CHANNELS, 0, (0,)),
    ((2, 6, 2), np.array(CHANNELS + CHANNELS + CHANNELS).reshape(2, 3, 2).tolist(), -2, (0, 1, 2)),
]


def quantizing(kind: str, name: str = "any") -> list[Case]:
    dtype = getattr(tp, kind)
    rows = MODES if kind == "float8" else MODES + BLOCKS

    def make(shape: Shape, scale: Any, dim: int | None, static: tuple[int, ...]) -> Case:
        return case(
            lambda x: tp.quantize(x, scale, dtype, dim),
            t(*shape, values=name, static=static),
            oracle=lambda x: quantized(x, scale, kind, dim),
            out=kind,
            label=f"{kind} {dim}",
        )

    return [make(*row) for row in rows]


def special_values(kind: str) -> Case:
    dtype = getattr(tp, kind)
    return case(lambda x: tp.quantize(x, 2, dtype), special("convertible"), out=kind,
                oracle=lambda x: quantized(x, 2, kind), label=f"{kind} special")  # fmt: skip


def given_scale(kind: str) -> list[Case]:
    """Scales that are inputs of the program."""
    dtype = getattr(tp, kind)
    return [
        case(lambda x, s: tp.quantize(x, s, dtype), t(2, 3), t(values=(0.5,)), out=kind,
             oracle=lambda x, s: quantized(x, s, kind), label=f"{kind} computed"),
        case(lambda x, s: tp.quantize(x, s, dtype, 1), t(2, 4), t(4, values=CHANNELS), out=kind,
             oracle=lambda x, s: quantized(x, s, kind, 1), grows=False, label=f"{kind} channels"),
    ]  # fmt: skip


GIVEN_BLOCKS = case(
    lambda x, s: tp.quantize(x, s, tp.int8, 1), t(1, 8), t(1, 4, values=CHANNELS), out="int8",
    oracle=lambda x, s: quantized(x, s, "int8", 1), grows=False, label="computed blocks",
)  # fmt: skip


def dequantizing(kind: str) -> list[Case]:
    dtype = getattr(tp, kind)

    def make(shape: Shape, scale: Any, dim: int | None, static: tuple[int, ...]) -> Case:
        return case(
            lambda q: tp.dequantize(q, scale, dtype, dim),
            t(*shape, static=static),
            oracle=lambda q: dequantized(q, scale, dim),
            out=kind,
            label=f"{kind} {dim}",
        )

    return [make(*row) for row in MODES]


DEQUANTIZED_BLOCKS = [
    case(lambda q, scale=scale, dim=dim: tp.dequantize(q, scale, tp.float32, dim),
         t(*shape, static=static), out="float32", label="blocks", dtypes=("int8", "int4"),
         oracle=lambda q, scale=scale, dim=dim: dequantized(q, scale, dim))
    for shape, scale, dim, static in BLOCKS
]  # fmt: skip


def pair(x: tp.Tensor, scale: Any, kind: str, dim: int | None = None) -> tp.Tensor:
    return tp.dequantize(tp.quantize(x, scale, getattr(tp, kind), dim), scale, x.dtype, dim)


def pairs(kind: str) -> list[Case]:
    """quantize and dequantize with something before and after."""
    follow: list[tuple[str, Callable[[Any], Any], Callable[[Array], Array]]] = [
        ("alone", lambda x: x, lambda x: x),
        ("sum", lambda x: tp.sum(x, 1), lambda x: x.sum(1)),
        ("add", lambda x: x + 1.25, lambda x: x + 1.25),
        ("relu, permute", lambda x: tp.permute(tp.relu(x), (2, 1, 0)),
         lambda x: np.maximum(x, 0).transpose(2, 1, 0)),
    ]  # fmt: skip

    def make(label: str, run: Callable[[Any], Any], oracle: Callable[[Array], Array]) -> Case:
        return case(lambda x: run(pair(x, 0.25, kind)), t(2, 3, 4), label=f"{kind} {label}",
                    oracle=lambda x: oracle(faked(x, 0.25, kind)), terms=4)  # fmt: skip

    return [make(*row) for row in follow]


# --- layers ----------------------------------------------------------------------------------


def layer(make: Callable[[Any], Any], weight_scale: Any, input_scale: Any) -> Callable[..., Any]:
    def run(x: Any, weight: Any, bias: Any) -> Any:
        module = make(weight.dtype)
        module.weight, module.bias = weight, bias
        module.weight_scale = weight_scale
        if input_scale is not None:
            module.input_scale = input_scale
        return module(x)

    return run


def layers(
    name: str,
    formula: Callable[..., Array],
    x: Shape,
    weight: Shape,
    outputs: int,
    sizes: tuple[Any, ...],
    features: int,
) -> Row:
    make = getattr(tp, name)
    out_dim = int(name == "ConvTranspose")
    channels, inner = ((CHANNELS * 2)[: weight[dim]] for dim in (out_dim, 1 - out_dim))

    def of(kind: str, weight_scale: Any, dim: int | None, input_scale: float | None) -> Case:
        def oracle(x: Array, w: Array, b: Array) -> Array:
            given = x if input_scale is None else faked(x, input_scale, kind)
            return formula(given, faked(w, weight_scale, kind, dim), b)

        def module(dtype: Any) -> Any:
            return make(*sizes, dtype=dtype, quant_dtype=getattr(tp, kind), weight_quant_dim=dim)

        return case(
            layer(module, weight_scale, input_scale), t(*x, static=(features,)),
            t(*weight, constant=True), t(outputs, constant=True), oracle=oracle, terms=24,
            label=f"{kind} {dim} {input_scale}",
        )  # fmt: skip

    return row(
        f"{name} quantized",
        FLOATS,
        [
            of("int8", 0.0625, None, 0.125),
            of("int8", channels, out_dim, 0.0625),
            of("int8", channels, out_dim - len(weight), None),
            of("int8", inner, 1 - out_dim, None),
            of("int4", 0.5, None, 0.5),
            of("int4", channels, out_dim, None),
            of("float8", 0.5, None, 0.25),
        ],
        scale="absolute",
        roundings=3,
    )


def embedding(kind: str, scale: Any, dim: int | None) -> Case:
    def run(index: Any, weight: Any) -> Any:
        options = {} if not kind else {"quant_dtype": getattr(tp, kind), "weight_quant_dim": dim}
        module = tp.Embedding(4, 6, dtype=weight.dtype, **options)
        module.weight = weight
        if kind:
            module.weight_scale = scale
        return module(index)

    def oracle(index: Array, weight: Array) -> Array:
        table = faked(weight, scale, kind, dim) if kind else weight
        return oracles.gather(table, index, 0)

    return case(run, t(2, 3, values="index 4", dtype="int32"), t(4, 6, constant=True),
                oracle=oracle, label=f"{kind} {dim}", exact=True)  # fmt: skip


EMBEDDING = row(
    "Embedding",
    FLOATS,
    [
        embedding("", None, None),
        embedding("int8", 0.25, None),
        embedding("int8", CHANNELS, 0),
        embedding("int8", (0.25, 0.5, 1.0) * 2, -1),
        embedding("int8", [[0.25] * 6, [0.5] * 6], None),
        embedding("int4", 0.25, None),
        embedding("float8", CHANNELS, 0),
        case(lambda i, w: tp.Embedding(4, 3, dtype=w.dtype)(i), t(values="index 4", dtype="uint8"),
             t(1), oracle=lambda i, w: np.arange(12.0).reshape(4, 3)[int(i)], exact=True),
    ],
)  # fmt: skip

ROWS: list[Row] = [
    row(
        "quantize",
        FLOATS,
        [
            *quantizing("int8"), *quantizing("int4", "small"), *quantizing("float8"),
            *map(special_values, ("int8", "int4", "float8")),
            *given_scale("int8"), *given_scale("float8"), GIVEN_BLOCKS,
        ],
        parameters=("input",),
    ),
    row(
        "dequantize",
        ("int8", "int4", "float8"),
        [c for kind in ("float32", "float16", "bfloat16") for c in dequantizing(kind)]
        + DEQUANTIZED_BLOCKS,
        parameters=("input",),
    ),
    row("quantize pair", FLOATS, [c for kind in ("int8", "int4", "float8") for c in pairs(kind)]),
    layers("Linear", lambda x, w, b: oracles.matmul(x, w.T) + b, (2, 3, 6), (4, 6), 4,
           sizes=(6, 4), features=2),
    layers("Conv", lambda x, w, b: oracles.conv(x, w, b, 1, 2, 2), (2, 4, 5, 3), (4, 2, 2, 3), 4,
           sizes=(4, 4, (2, 3), 1, 2, 2), features=1),
    layers("ConvTranspose", lambda x, w, b: oracles.conv_transpose(x, w, b, 1, 2), (2, 4, 3),
           (4, 3, 3), 3, sizes=(4, 3, (3,), 1, 2), features=1),
    EMBEDDING,
]  # fmt: skip

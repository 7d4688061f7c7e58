"""Convolution, pooling, and the layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

from .. import oracles
from ..cases import ALL, FLOATS, NUMERIC, Array, Case, Row, Shape, case, row, spread, t

Options = dict[str, Any]

# Convolution: input, weight, whether there is a bias, options.

CONVOLUTIONS: tuple[tuple[Shape, Shape, bool, Options], ...] = (
    ((1, 1, 5), (1, 1, 3), False, {}),
    ((2, 3, 7), (4, 3, 2), True, {"padding": 1, "stride": 2}),
    ((1, 2, 6), (2, 2, 3), False, {"padding": "same", "stride": 2}),
    ((1, 2, 5), (4, 1, 1), True, {"groups": 2, "padding": "valid"}),
    ((2, 3, 5, 4), (2, 3, 3, 2), True, {}),
    ((1, 1, 4, 4), (1, 1, 3, 3), False, {"padding": ((1, 1), (1, 1)), "stride": (3, 1)}),
    ((1, 2, 5, 6), (3, 2, 2, 2), True, {"dilation": (2, 3)}),
    ((1, 4, 4, 5), (4, 1, 3, 3), False, {"groups": 4, "padding": 1}),
    ((2, 4, 3, 3), (6, 2, 2, 1), True, {"groups": 2, "padding": ((0, 1), (2, 0))}),
    ((1, 1, 5, 6), (1, 1, 2, 3), False, {"padding": "same", "dilation": 2}),
    ((0, 2, 4, 4), (3, 2, 3, 3), True, {}),
    ((1, 2, 3, 4, 3), (2, 2, 2, 2, 2), True, {"padding": (1, 0, 1), "stride": (1, 2, 1)}),
    ((1, 2, 3, 3, 3), (2, 1, 1, 2, 1), False, {"groups": 2, "dilation": 1}),
)
FOUR_DIMS: tuple[Shape, Shape, bool, Options] = (
    (1, 1, 3, 2, 3, 2), (1, 1, 2, 3, 2, 3), False, {"stride": (1, 1, 1, 2), "padding": 1},
)  # fmt: skip
TRANSPOSED: tuple[tuple[Shape, Shape, bool, Options], ...] = (
    ((1, 1, 3), (1, 1, 3), False, {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 3, 4), (3, 2, 2), True, {}),
    ((1, 2, 3), (2, 2, 3), True, {"padding": "same", "stride": 2, "output_padding": 0}),
    ((1, 1, 2, 2), (1, 1, 2, 2), False, {"stride": 2}),
    ((1, 2, 3, 2), (2, 3, 2, 3), True, {"padding": ((0, 1), (2, 0)), "stride": (1, 2)}),
    ((1, 4, 2, 3), (4, 2, 2, 2), True, {"groups": 2, "dilation": (1, 2)}),
    ((2, 3, 3, 3), (3, 1, 3, 3), False, {"groups": 3, "padding": 1, "stride": 2}),
    ((0, 2, 2, 2), (2, 1, 2, 2), False, {}),
    ((1, 2, 2, 2, 3), (2, 1, 2, 1, 2), True, {"stride": (2, 1, 1), "padding": (1, 0, 0)}),
)


def summed(weight: Shape, transposed: bool, groups: int) -> int:
    """Products in one output element."""
    return math.prod(weight[2:]) * (weight[0] // groups if transposed else weight[1])


def _symmetric(options: Options) -> Options | None:
    """Options that torch knows: ints and sequences of ints."""
    padding = options.get("padding") or 0
    padding = 0 if padding == "valid" else padding
    pairs = isinstance(padding, tuple) and any(isinstance(p, tuple) for p in padding)
    if pairs or padding == "same":
        return None
    return {**{k: v for k, v in options.items() if v is not None}, "padding": padding}


def in_torch(name: str, shape: Shape, options: Options) -> Callable[..., Any] | None:
    known, count = _symmetric(options), len(shape) - 2
    if known is None or count > 3 or 0 in shape:
        return None

    def run(*tensors: Any) -> Any:
        from torch.nn import functional

        return getattr(functional, f"{name}{count}d")(*tensors, **known)

    return run


def convolved(name: str, x: Shape, w: Shape, has_bias: bool, options: Options, **spec: Any) -> Case:
    function, oracle = getattr(tp, name), getattr(oracles, name)
    transposed = name == "conv_transpose"
    groups = options.get("groups", 1)
    specs = [t(*x, static=(1,)), t(*w, static=tuple(range(len(w))), **spec)]
    if has_bias:
        channels = w[1] * groups if transposed else w[0]
        specs.append(t(channels, static=(0,), **spec))
    return case(
        lambda *tensors: function(*tensors, **options),
        *specs,
        oracle=lambda *arrays: oracle(*arrays, **options),
        label=f"{options} {spec or ''}",
        terms=summed(w, transposed, groups),
        torch=in_torch(name, x, options),
    )


def convolutions(name: str, table: Any, *more: Case) -> Row:
    cases = [convolved(name, *entry) for entry in table]
    cases += [convolved(name, *entry, constant=True) for entry in table[3:9]]
    parameters = ("input", "weight", "bias")
    return row(name, FLOATS, [*cases, *more], parameters, scale="absolute")


# Pooling: input, kernel, options.

POOLS: tuple[tuple[Shape, Shape, Options], ...] = (
    ((1, 1, 4), (2,), {}),
    ((2, 3, 7), (3,), {"stride": 2, "padding": 1}),
    ((1, 1, 6), (3,), {"stride": 2, "padding": 1, "ceil_mode": True}),
    ((1, 2, 5), (2,), {"stride": 3, "padding": ((1, 0),), "ceil_mode": True}),
    ((1, 2, 5, 4), (2, 3), {}),
    ((2, 1, 5, 6), (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    ((1, 2, 4, 5), (2, 2), {"stride": 2, "padding": ((0, 1), (1, 0))}),
    ((1, 1, 5, 5), (3, 3), {"stride": 2, "padding": "same"}),
    ((1, 2, 5, 7), (2, 3), {"stride": (3, 2), "padding": (1, 1), "ceil_mode": True}),
    ((0, 2, 4, 4), (2, 2), {}),
    ((1, 0, 4, 4), (2, 2), {"stride": 2}),
    ((1, 2, 3, 4, 3), (2, 2, 2), {"stride": (1, 2, 1), "padding": (1, 0, 1)}),
    ((1, 1, 5, 4, 3), (2, 3, 1), {"stride": 2, "ceil_mode": True}),
)


def pooled(name: str, x: Shape, kernel: Shape, options: Options, **more: Any) -> Case:
    function, oracle = getattr(tp, name), getattr(oracles, name)
    given = {{"ceil_mode": "ceil", "count_include_pad": "include"}.get(k, k): v
             for k, v in options.items()}  # fmt: skip
    torch = in_torch({"maxpool": "max_pool", "avgpool": "avg_pool"}[name], x,
                     {"kernel_size": kernel, "stride": 1, **options})  # fmt: skip
    return case(
        lambda tensor: function(tensor, kernel, **options),
        t(*x, values=more.pop("values", "any")),
        oracle=lambda array: oracle(array, kernel, **given),
        label=f"{kernel} {options}",
        terms=math.prod(kernel),
        torch=torch,
        **more,
    )


def pools(name: str, variants: list[Options], *more: Case, **options: Any) -> Row:
    cases = [pooled(name, x, k, o | v) for x, k, o in POOLS for v in variants]
    return row(name, NUMERIC, [*spread(cases), *more], ("input",), **options)


NAN = (1.0, np.nan, 3.0, -1.0, -np.inf, 2.0)
NAN_POOL = case(lambda x: tp.maxpool(x, (2,)), t(1, 1, 6, values=NAN), dtypes=FLOATS, grows=False,
                oracle=lambda x: oracles.maxpool(x, (2,)), label="special")  # fmt: skip

# Layers.


def layer(make: Callable[[Any], Any], **weights: Any) -> Callable[..., Any]:
    """A layer of the input's dtype that gets its weights as further inputs."""

    def run(x: Any, *given: Any) -> Any:
        module = make(x.dtype)
        for name, weight in zip(weights, given, strict=True):
            setattr(module, name, weight)
        return module(x)

    return run


def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    product = oracles.matmul(x, w.T)
    return product if b is None else product + b


def counted(*shape: int) -> Array:
    """The default value of a parameter."""
    return np.arange(math.prod(shape), dtype=float).reshape(shape)


def layered(
    make: Callable[[Any], Any], oracle: Callable[..., Any], x: Shape, **weights: Shape
) -> Case:
    """A layer; the features of its input are the last dim of Linear, dim 1 of the others."""
    specs = [t(*shape, values=VARIANCE.get(name, "any"), constant=True)
             for name, shape in weights.items()]  # fmt: skip
    features = len(x) - 1 if oracle is linear else 1
    return case(layer(make, **weights), t(*x, static=(features,)), *specs, oracle=oracle, terms=16,
                label=", ".join(weights))  # fmt: skip


VARIANCE = {"running_var": "positive"}
LINEAR = row(
    "Linear",
    FLOATS,
    [
        layered(lambda d: tp.Linear(3, 4, dtype=d), linear, x, weight=(4, 3), bias=(4,))
        for x in ((2, 3), (2, 1, 3), (0, 3))
    ]
    + [
        case(layer(lambda d: tp.Linear(3, 4, dtype=d)), t(3, static=(0,)), terms=4,
             oracle=lambda x: linear(x, counted(4, 3), counted(4)), label="default values"),
        case(layer(lambda d: tp.Linear(2, 1, bias=False, dtype=d)), t(3, 2, static=(1,)), terms=2,
             oracle=lambda x: linear(x, counted(1, 2)), label="no bias"),
    ],
    scale="absolute", roundings=2,
)  # fmt: skip
CONV = row(
    "Conv",
    FLOATS,
    [
        layered(lambda d: tp.Conv(2, 3, (2, 2), padding=1, stride=(2, 1), dtype=d),
                lambda x, w, b: oracles.conv(x, w, b, 1, (2, 1)), (1, 2, 4, 5),
                weight=(3, 2, 2, 2), bias=(3,)),
        layered(lambda d: tp.Conv(4, 2, (3,), "same", groups=2, bias=False, dtype=d),
                lambda x, w: oracles.conv(x, w, None, "same", groups=2), (2, 4, 5),
                weight=(2, 2, 3)),
        case(layer(lambda d: tp.Conv(2, 2, (2, 2), dilation=2, dtype=d)),
             t(1, 2, 4, 4, static=(1,)), terms=8, label="default values",
             oracle=lambda x: oracles.conv(x, counted(2, 2, 2, 2), counted(2), dilation=2)),
    ],
    scale="absolute",
)  # fmt: skip
CONV_TRANSPOSE = row(
    "ConvTranspose",
    FLOATS,
    [
        layered(lambda d: tp.ConvTranspose(2, 3, (2, 3), stride=2, dtype=d),
                lambda x, w, b: oracles.conv_transpose(x, w, b, stride=2), (1, 2, 3, 2),
                weight=(2, 3, 2, 3), bias=(3,)),
        layered(lambda d: tp.ConvTranspose(4, 2, (3,), 1, 2, 2, bias=False, output_padding=1,
                                           dtype=d),
                lambda x, w: oracles.conv_transpose(x, w, None, 1, 2, 2, output_padding=1),
                (2, 4, 3), weight=(4, 1, 3)),
    ],
    scale="absolute",
)  # fmt: skip


def normalising(x: Shape) -> Case:
    channels = x[1:2]
    return layered(
        lambda d: tp.BatchNorm(channels[0], d, eps=1e-3),
        lambda x, w, b, mean, variance: oracles.batchnorm(x, w, b, mean, variance, 1e-3),
        x,
        weight=channels,
        bias=channels,
        running_mean=channels,
        running_var=channels,
    )


def magnitudes(x: Array, w: Array, b: Array, mean: Array, variance: Array) -> Array:
    """Magnitude of the terms of a normalisation."""
    return oracles.batchnorm(np.abs(x), np.abs(w), np.abs(b), -np.abs(mean), variance, 1e-3)


BATCHNORM = row(
    "BatchNorm",
    FLOATS,
    [normalising(x) for x in ((2, 3), (2, 3, 4), (1, 2, 3, 2), (0, 2, 3), (1, 2, 2, 1, 3))],
    scale=magnitudes,
)


def chain(d: Any, w: Any, b: Any) -> tp.Sequential:
    first = tp.Linear(3, 4, dtype=d)
    first.weight, first.bias = w, b
    return tp.Sequential(first, tp.relu, lambda x: x * 2)


SEQUENTIAL = row(
    "Sequential",
    FLOATS,
    [
        case(lambda x, w, b: chain(x.dtype, w, b)(x), t(2, 3, static=(1,)),
             t(4, 3, constant=True), t(4, constant=True), terms=16,
             oracle=lambda x, w, b: np.maximum(linear(x, w, b), 0) * 2,
             scale=lambda x, w, b: linear(np.abs(x), np.abs(w), np.abs(b)) * 2, roundings=2),
        case(lambda x: tp.Sequential()(x + x), t(2, 3), oracle=lambda x: x + x, exact=True),
    ],
)  # fmt: skip

BARE_WEIGHT = case(tp.conv, t(1, 2, 5), t(3, 2, 2), oracle=oracles.conv, terms=4, grows=False,
                   label="weight of unknown size")  # fmt: skip


def pool_layer(name: str, oracle: Callable[..., Any]) -> Row:
    make = getattr(tp, name)
    pooling = case(lambda x: make((2, 3), 2, (1, 0), ceil_mode=True)(x), t(1, 2, 5, 6), terms=6,
                   oracle=lambda x: oracle(x, (2, 3), 2, (1, 0), ceil=True))  # fmt: skip
    return row(name, NUMERIC, [pooling], scale="absolute")


ROWS: list[Row] = [
    convolutions("conv", CONVOLUTIONS, convolved("conv", *FOUR_DIMS), BARE_WEIGHT),
    convolutions("conv_transpose", TRANSPOSED, convolved("conv_transpose", *FOUR_DIMS)),
    pools("maxpool", [{}], NAN_POOL, exact=True, survives=True),
    pools("avgpool", [{"count_include_pad": True}, {"count_include_pad": False}],
          scale="absolute"),
    LINEAR,
    CONV,
    CONV_TRANSPOSE,
    BATCHNORM,
    SEQUENTIAL,
    pool_layer("MaxPool", oracles.maxpool),
    pool_layer("AvgPool", oracles.avgpool),
    row("Identity", ALL, [case(tp.Identity(), t(2, 3), oracle=lambda x: x)], computes=False),
]  # fmt: skip

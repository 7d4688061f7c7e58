"""What engines fuse with the operations before it, compared with the reference engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tripy as tp

Rng = np.random.Generator
Function = Callable[..., Any]


def check(function: Function, inputs: Sequence[Any], dynamic: bool, **options: Any) -> None:
    """Compare a program with the reference engine; three calls, the first one repeated."""
    infos = [
        tp.InputInfo([(1, n, n + 8) if dynamic and n > 1 else n for n in x.shape], tp.float32)
        for x in inputs
    ]
    made, wanted = (
        tp.compile(function, args=infos, engine=engine, **chosen)
        for engine, chosen in (("openvino", options), ("reference", {}))
    )
    limits = (5e-2, 5e-2) if options else (1e-4, 1e-5)
    for _ in range(2):
        for got, want in zip(*(_flat(exe(*inputs)) for exe in (made, wanted)), strict=True):
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, *limits)


def _flat(result: Any) -> list[Any]:
    parts = result if isinstance(result, tuple) else (result,)
    return [np.asarray(part) for part in parts]


def normal(rng: Rng, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


#: What a kernel may take over, given constants of the shape of what it makes.
CHAINS: dict[str, Callable[[tp.Tensor, tp.Tensor], tp.Tensor]] = {
    "+": lambda y, c: y + c,
    "*": lambda y, c: y * c,
    "* +": lambda y, c: y * c + c * 0.5,
    "relu *": lambda y, c: tp.relu(y) * c,
    "maximum": lambda y, c: tp.maximum(y, c),
    "where": lambda y, c: tp.where(y > 0, y, y * c),
    "-": lambda y, c: c - y,
    "quantize": lambda y, c: tp.dequantize(tp.quantize(y, 0.01, tp.int8), 0.01, tp.float32) * c,
}
REDUCTIONS: dict[str, Callable[..., tp.Tensor]] = {
    "sum": tp.sum,
    "mean": tp.mean,
    "max": tp.max,
    "min": tp.min,
    "prod": tp.prod,
}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_then_constants(name: str, chain: str, dynamic: bool, rng: Rng) -> None:
    """One program holds every dim, with and without keepdim, and constants along every dim."""
    shape = (2, 4, 9)
    constants = {n: tp.Tensor(normal(rng, n)) for n in shape}

    def function(x: tp.Tensor) -> tuple[tp.Tensor, ...]:
        results = []
        for dim, keepdim in itertools.product(range(3), (False, True)):
            y = REDUCTIONS[name](x, dim, keepdim=keepdim)
            left = [1 if d == dim else n for d, n in enumerate(shape) if keepdim or d != dim]
            for at, size in enumerate(left):
                if size > 1:
                    column = (size,) + (1,) * (len(left) - at - 1)
                    results.append(CHAINS[chain](y, tp.reshape(constants[size], column)))
        return tuple(results)

    check(function, [normal(rng, *shape)], dynamic)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
@pytest.mark.parametrize("has_weight", [True, False])
def test_products_then_constants(has_weight: bool, rank: int, dynamic: bool, rng: Rng) -> None:
    lead = (2, 3, 6)[: rank - 2]
    weight = tp.Tensor(normal(rng, 5, 6))
    shape = (*lead, 4, 6)
    masks = list(itertools.product([False, True], repeat=rank))
    constants = [
        tp.Tensor(normal(rng, *(n if on else 1 for n, on in zip(shape, mask)))) for mask in masks
    ]

    def function(x: tp.Tensor, *others: tp.Tensor) -> tuple[tp.Tensor, ...]:
        y = x @ (others[0] if others else weight)
        return tuple(chain(y, c) for c in constants for chain in (CHAINS["+"], CHAINS["relu *"]))

    def one(c: tp.Tensor, chain: str) -> Function:
        return lambda x, *others: CHAINS[chain](x @ (others[0] if others else weight), c)

    inputs = [normal(rng, *lead, 4, 5)] + ([] if has_weight else [normal(rng, *lead, 5, 6)])
    check(function, inputs, dynamic)
    for c in constants[:: max(1, len(constants) // 8)]:
        check(one(c, "* +"), inputs, dynamic)


#: What follows attention of x, y = relu(x) being all three of its operands.
AFTER: dict[str, Callable[..., Any]] = {
    "itself": lambda s, y, c: s,
    "residual, twice": lambda s, y, c: (s + y, s),
    "two": lambda s, y, c: (tp.exp(s), s * y),
    "per query": lambda s, y, c: s * tp.sum(y, -1, keepdim=True),
    "per feature": lambda s, y, c: s * c,
    "heads": lambda s, y, c: tp.reshape(tp.permute(s, (0, 2, 1, 3)), (2, -1, 4 * s.shape[-1])) + 1,
}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("size", [16, 96, 128])
@pytest.mark.parametrize("masked", [False, True])
def test_attention(masked: bool, size: int, after: str, dynamic: bool, rng: Rng) -> None:
    constant = tp.Tensor(normal(rng, size))

    def function(x: tp.Tensor) -> Any:
        y = tp.relu(x)
        places = tp.arange(x.shape[2])
        mask = places <= tp.unsqueeze(places, 1) if masked else None
        return AFTER[after](tp.scaled_dot_product_attention(y, y, y, mask), y, constant)

    infos = (2, 4, (1, 8, 64) if dynamic else 8, size)
    made = tp.compile(function, args=[tp.InputInfo(infos, tp.float32)])
    for length in (8, 40, 3, 8) if dynamic else (8,):
        x = normal(rng, 2, 4, length, size)
        wanted = function(tp.Tensor(x))
        for got, want in zip(_flat(made(x)), _flat(wanted), strict=True):
            np.testing.assert_allclose(got, want, 1e-3, 1e-4)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("ranks", [(2, 2, 3), (2, 3, 4), (3, 2, 2), (2, 4, 2), (4, 4, 3)])
def test_attention_of_other_ranks(ranks: tuple[int, ...], dynamic: bool, rng: Rng) -> None:
    inputs = [normal(rng, *(2, 3)[4 - rank :], 4, 4) for rank in ranks]
    check(tp.scaled_dot_product_attention, inputs, dynamic)


#: Functions that an engine may recognise, of x and a maker of constants.
RECOGNISED: dict[str, Callable[[tp.Tensor, Callable[[float], tp.Tensor]], tp.Tensor]] = {
    "clip": lambda x, k: tp.minimum(tp.maximum(x, k(-1)), k(1)),
    "leaky": lambda x, k: tp.maximum(x, x * k(0.1)),
    "leaky where": lambda x, k: tp.where(x > k(0), x, x * k(0.1)),
    "gelu": lambda x, k: x * k(0.5) * (k(1) + tp.erf(x / k(2**0.5))),
    "rms": lambda x, k: x / tp.sqrt(tp.mean(x * x, -1, keepdim=True) + k(1e-5)),
    "swish": lambda x, k: x * tp.sigmoid(x * k(1.7)),
    "hard swish": lambda x, k: x * tp.minimum(tp.maximum(x + k(3), k(0)), k(6)) / k(6),
    "softplus": lambda x, k: tp.log(tp.exp(x) + k(1)),
    "square": lambda x, k: x ** k(2),
    "layer": lambda x, k: x @ tp.Tensor(np.eye(5, dtype=np.float32)) * k(0.5) + k(1),
    "times one": lambda x, k: x * k(1) + k(0),
}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", RECOGNISED)
def test_constants_of_one_element(name: str, dynamic: bool, rng: Rng) -> None:
    """Of every rank: lower, equal and higher than that of what they are combined with."""
    for rank, count in itertools.product(range(5), (1, 2, 3)):

        def function(x: tp.Tensor, rank: int = rank) -> tp.Tensor:
            def constant(number: float) -> tp.Tensor:
                return tp.Tensor(np.full((1,) * rank, number, np.float32))

            return RECOGNISED[name](x, constant)

        check(function, [normal(rng, *(2, 3, 5)[-count:])], dynamic)


@pytest.mark.parametrize("kind", [tp.bool, tp.int32, tp.int8, tp.float32])
def test_selections_of_conditions_that_are_operands(kind: tp.dtype, rng: Rng) -> None:
    def function(a: tp.Tensor, c: tp.Tensor) -> tuple[tp.Tensor, ...]:
        pairs = ((c, c, a), (c, a, c), (c, c, c), (~c, c, a), (c, ~c, a), (a & c, a, c))
        cast = [(p, tp.cast(x, kind), tp.cast(y, kind)) for p, x, y in pairs]
        return tuple(tp.where(*operands) for operands in cast)

    inputs = [rng.random((2, 3)) < 0.5 for _ in range(2)]
    made = tp.compile(function, args=[tp.InputInfo((2, 3), tp.bool)] * 2)
    wanted = function(*map(tp.Tensor, inputs))
    for got, want in zip(made(*inputs), wanted):
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


#: Windows, products and norms that fuse or fail only with such sizes, and the shapes of inputs.
SIZES: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    "windows of padding, 1-D": (
        lambda x, w: tp.conv(x, weight_of(w, 1, 2, 1), padding=((0, 2),), stride=4),
        ((2, 2, 1),),
    ),
    "windows of padding, 2-D": (
        lambda x, w: tp.conv(
            x, weight_of(w, 4, 2, 3, 1), padding=((0, 1), (1, 1)), stride=(4, 2), dilation=2
        ),
        ((2, 2, 4, 1),),
    ),
    "wide padding": (
        lambda x, w: tp.relu(tp.conv(x, weight_of(w, 4, 2, 1, 1), padding=2)),
        ((2, 2, 3, 5),),
    ),
    "one element": (lambda x, w: tp.relu(x @ weight_of(w, 1, 1)) + 1, ((1,), (3, 1), (2, 3, 1))),
    "two of one element": (
        lambda x, w: (x @ weight_of(w, 1, 1)) @ weight_of(w, 1, 1),
        ((1,), (3, 1), (2, 1, 3, 1)),
    ),
    "one key": (
        lambda x, w: tp.scaled_dot_product_attention(x, weight_of(w, 1, 1), x),
        ((1, 1), (1, 1, 1, 1)),
    ),
    "last window, max": (
        lambda x, w: tp.maxpool(x, (3,), stride=(3,), ceil_mode=True),
        ((1, 1, 2), (2, 3, 5)),
    ),
    "last window, mean": (
        lambda x, w: tp.avgpool(x, (3,), stride=(3,), ceil_mode=True),
        ((1, 1, 2), (2, 3, 5)),
    ),
    "extreme of one": (
        lambda x, w: (tp.max(x / 0, -1), tp.min(x / 0, -1, keepdim=True)),
        ((3, 1), (1,)),
    ),
    "root mean square": (
        lambda x, w: x * tp.rsqrt(tp.mean(x * x, -1, keepdim=True) + 1e-5),
        ((3, 5), (5, 5)),
    ),
    "one channel": (
        lambda x, w: tp.tanh(
            tp.conv(x, weight_of(w, 1, 1, 3), padding=1)
            + tp.conv(x, weight_of(w, 1, 1, 3) * 2, padding=1)
        ),
        ((3, 1, 8), (2, 1, 5)),
    ),
}


def weight_of(numbers: Any, *shape: int) -> tp.Tensor:
    """The first numbers in a shape."""
    return tp.Tensor(np.resize(numbers, shape))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str, dynamic: bool, rng: Rng) -> None:
    function, shapes = SIZES[name]
    numbers = normal(rng, 64)
    for shape in shapes:
        check(lambda x: function(x, numbers), [normal(rng, *shape)], dynamic)


@pytest.mark.parametrize(
    "sizes", [(2, 4, "n", 16), ("n", 4, "n", 64), (3, "n", 8), ("n", 2, "n", "m")]
)
def test_attention_of_sizes_in_any_order(sizes: tuple[int | str, ...], rng: Rng) -> None:
    """What a call computes does not depend on the sizes of calls before it, one key among them."""

    def function(x: tp.Tensor) -> tp.Tensor:
        return tp.scaled_dot_product_attention(x, x, x)

    names = {name: tp.NamedDimension(name, 1, 8, 20) for name in "nm"}
    info = tp.InputInfo([names.get(n, n) for n in sizes], tp.float32)
    made = tp.compile(function, args=[info])
    for n, m in ((1, 1), (8, 8), (5, 3), (1, 8), (17, 1), (1, 1), (8, 8)):
        x = normal(rng, *({"n": n, "m": m}.get(size, size) for size in sizes))
        np.testing.assert_allclose(made(x).numpy(), function(tp.Tensor(x)).numpy(), 1e-4, 1e-5)


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("precision", [None, "bfloat16"])
def test_dynamic_values_quantized_along_a_dim(precision: str | None, dim: int, rng: Rng) -> None:
    shape = [4, 4, 4]
    shape[dim] = 3
    scale = tp.Tensor(2.0 ** rng.integers(-6, -2, 3).astype(np.float32))

    def function(x: tp.Tensor) -> tp.Tensor:
        return tp.dequantize(tp.quantize(x, scale, tp.int8, dim), scale, tp.float32, dim)

    info = tp.InputInfo([(1, n, 9) if n == 4 else n for n in shape], tp.float32)
    x = normal(rng, *shape)
    got = tp.compile(function, args=[info], precision=precision)(x).numpy()
    np.testing.assert_allclose(got, function(tp.Tensor(x)).numpy(), 1e-2, 0.13)


#: Dims of size 1 that a transposition moves, before a reduction or after it.
MOVED: dict[str, Callable[[Any, Any], Any]] = {
    "before": lambda reduce, x: reduce(tp.permute(x, (2, 1, 0)), 2),
    "after": lambda reduce, x: tp.permute(reduce(x, 0), (1, 0)),
    "of a product": lambda reduce, x: reduce(tp.permute(x, (2, 1, 0)) * 2.0, 2) + 1.0,
    "after arithmetic": lambda reduce, x: tp.permute(tp.abs(reduce(x, 0) / 3.0), (1, 0)),
    "variance": lambda reduce, x: tp.permute(tp.var(reduce(x, 0, True) + x, 0), (1, 0)),
    "expanded": lambda reduce, x: tp.expand(tp.permute(reduce(x, 0), (1, 0)), (2, -1, -1)),
    "all": lambda reduce, x: tp.permute(tp.all(reduce(x, 0, True) > -0.5, 0), (1, 0)),
}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("where", MOVED)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_beside_transpositions(name: str, where: str, dynamic: bool, rng: Rng) -> None:
    for shape in ((2, 3, 1), (2, 2, 1), (3, 1, 4), (2, 1, 1)):
        check(lambda x: MOVED[where](REDUCTIONS[name], x), [normal(rng, *shape)], dynamic)

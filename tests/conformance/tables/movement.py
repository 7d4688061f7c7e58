"""Shape and movement functions; all dtypes, nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

from .. import oracles
from ..cases import ALL, BOOL, FLOATING, INTEGERS, NUMERIC, Case, Row, Shape, case, row, spread, t


def moved(
    run: Callable[[Any], Any],
    oracle: Callable[[Any], Any],
    *shape: int,
    grows: bool = True,
    **options: Any,
) -> Case:
    return case(run, t(*shape), oracle=oracle, grows=grows, **options)


def movement(name: str, *cases: Case, parameters: tuple[str, ...] = ()) -> Row:
    return row(name, ALL, spread(cases), parameters, exact=True)


def reshaped(shape: Shape, target: Any, wanted: Any = None) -> Case:
    return moved(
        lambda x: tp.reshape(x, target),
        lambda x: x.reshape(target if wanted is None else wanted),
        *shape,
        grows=False,
        label=f"to {target}",
    )


RESHAPE = movement(
    "reshape",
    reshaped((), (1, 1)),
    reshaped((1,), ()),
    reshaped((1, 1), []),
    reshaped((6,), (2, 3)),
    reshaped((2, 3), (3, -1)),
    reshaped((2, 3, 2), 12),
    reshaped((2, 3, 2), -1),
    reshaped((0,), (3, 0, 2)),
    reshaped((2, 0, 3), (0,)),
    reshaped((2, 0), (-1, 2)),
    reshaped((2, 1, 3, 1, 2), [3, 2, 2, 1]),
    reshaped((4, 6), (2, 2, -1, 1, 2)),
    moved(lambda x: x.reshape((x.shape[1], -1)), lambda x: x.reshape(x.shape[1], -1), 2, 3, 4),
    moved(lambda x: tp.reshape(x, (x.shape[0] * x.shape[1], x.shape[2])),
          lambda x: x.reshape(-1, x.shape[2]), 2, 3, 4),
    moved(lambda x: tp.reshape(x, (1, *x.shape, 1)), lambda x: x.reshape(1, *x.shape, 1), 2, 3),
)  # fmt: skip


def flattened(shape: Shape, start: int, end: int) -> Case:
    def oracle(x: Any) -> Any:
        sizes = x.shape or (1,)
        first, last = start % len(sizes), end % len(sizes)
        merged = int(np.prod(sizes[first : last + 1], dtype=int))
        return x.reshape(*sizes[:first], merged, *sizes[last + 1 :])

    return moved(lambda x: tp.flatten(x, start, end), oracle, *shape, label=f"{start} … {end}")


FLATTEN = movement(
    "flatten",
    *(flattened(*entry) for entry in [
        ((), 0, -1), ((3,), 0, -1), ((2, 3), 0, -1), ((2, 3, 4), 1, 2), ((2, 3, 4), -3, -2),
        ((2, 0, 3), 1, -1), ((2, 1, 3, 1, 2), 1, 3), ((2, 3), 1, 1),
    ]),
    moved(lambda x: x.flatten(1), lambda x: x.reshape(len(x), -1), 2, 3, 2),
)  # fmt: skip


def squeezed(shape: Shape, dims: Any, static: tuple[int, ...] = ()) -> Case:
    at = tuple(dims) if isinstance(dims, list) else dims
    return case(lambda x: tp.squeeze(x, dims), t(*shape, static=static),
                oracle=lambda x: x.squeeze(at), label=f"dims={dims}")  # fmt: skip


SQUEEZE = movement(
    "squeeze",
    squeezed((1,), 0),
    squeezed((1, 3, 1), None, static=(0, 2)),
    squeezed((1, 3, 1), -1),
    squeezed((1, 3, 1), [0, 2]),
    squeezed((2, 3), ()),
    squeezed((), None),
    squeezed((0, 1), 1),
    squeezed((2, 1, 3, 1, 1), (-1, 1)),
    moved(lambda x: x.squeeze(1), lambda x: x.squeeze(1), 2, 1),
)


def placed(shape: Shape, dim: int) -> Case:
    return moved(lambda x: tp.unsqueeze(x, dim), lambda x: np.expand_dims(x, dim), *shape,
                 label=f"dim={dim}")  # fmt: skip


def permuted(shape: Shape, perm: Any) -> Case:
    return moved(lambda x: tp.permute(x, perm), lambda x: np.transpose(x, perm), *shape,
                 label=f"perm={perm}")  # fmt: skip


def swapped(shape: Shape, a: int, b: int) -> Case:
    return moved(lambda x: tp.transpose(x, a, b), lambda x: np.swapaxes(x, a, b), *shape,
                 label=f"{a}, {b}")  # fmt: skip


UNSQUEEZE = movement(
    "unsqueeze",
    *(
        placed(*entry) for entry in [((), 0), ((), -1), ((3,), 1), ((2, 3), -3), ((2, 3), -2),
                                     ((0,), 0), ((2, 1, 3, 2), 4)]
    ),
    moved(lambda x: x.unsqueeze(0), lambda x: x[None], 2, 3),
)  # fmt: skip
PERMUTE = movement(
    "permute",
    *(
        permuted(shape, perm) for shape, perm in (
            ((), ()), ((3,), (0,)), ((2, 3), (1, 0)), ((2, 3, 4), [2, 0, 1]),
            ((2, 0, 3), (1, -1, 0)), ((2, 1, 3, 2), (-1, -2, -3, -4)),
            ((2, 1, 3, 1, 2), (4, 2, 0, 1, 3)))
    ),
    moved(lambda x: x.permute((1, 0)), lambda x: x.T, 2, 3),
)  # fmt: skip
TRANSPOSE = movement(
    "transpose",
    *(
        swapped(*entry) for entry in [((2, 3), 0, 1), ((2, 3), 1, 1), ((2, 3, 4), -1, 0),
                                      ((0, 2), 0, -1), ((2, 1, 3, 1, 2), 1, 4)]
    ),
    moved(lambda x: x.transpose(0, 1), lambda x: np.swapaxes(x, 0, 1), 2, 3, 2),
    moved(lambda x: x.T, lambda x: x.T, 2, 3, label="T"),
)  # fmt: skip


def expanded(shape: Shape, sizes: Any, wanted: Shape, grows: bool = False) -> Case:
    return moved(lambda x: tp.expand(x, sizes), lambda x: np.broadcast_to(x, wanted), *shape,
                 grows=grows, label=f"to {sizes}")  # fmt: skip


EXPAND = movement(
    "expand",
    expanded((), (2, 3), (2, 3)),
    expanded((), (), ()),
    expanded((1,), 4, (4,)),
    expanded((3,), (2, -1), (2, 3)),
    expanded((2, 1), (-1, 0), (2, 0)),
    expanded((2, 1), [2, 3], (2, 3)),
    expanded((0, 1), (2, -1, 3), (2, 0, 3)),
    expanded((2, 1, 3, 1), (2, 2, 2, 3, 2), (2, 2, 2, 3, 2)),
    moved(lambda x: tp.expand(x, (x.shape[1], -1, -1)),
          lambda x: np.broadcast_to(x, (x.shape[1], *x.shape)), 2, 3),
)  # fmt: skip


def joined(name: str, oracle: Callable[..., Any], dim: int, *shapes: Shape) -> Case:
    function = getattr(tp, name)
    inputs = [t(*shape) for shape in shapes]
    return case(lambda *xs: function(xs, dim), *inputs, oracle=lambda *xs: oracle(xs, axis=dim),
                label=f"dim={dim}")  # fmt: skip


CONCATENATE = movement(
    "concatenate",
    joined("concatenate", np.concatenate, 0, (2,), (3,)),
    joined("concatenate", np.concatenate, -1, (2, 3), (2, 1), (2, 4)),
    joined("concatenate", np.concatenate, 0, (0,), (2,), (0,)),
    joined("concatenate", np.concatenate, 1, (2, 0), (2, 3)),
    joined("concatenate", np.concatenate, -3, (2, 3, 0), (1, 3, 0)),
    joined("concatenate", np.concatenate, 2, (2, 1, 3, 1, 2), (2, 1, 1, 1, 2)),
    joined("concatenate", np.concatenate, 0, (2, 2)),
    case(lambda x: tp.concatenate([x, x, x], 1), t(2, 3),
         oracle=lambda x: np.concatenate([x, x, x], 1), label="itself"),
    case(lambda x, y: tp.concatenate((x, y), 1), t(2, 3, name="n"), t(2, 1, name="n"),
         oracle=lambda x, y: np.concatenate([x, y], 1), label="named"),
)  # fmt: skip
STACK = movement(
    "stack",
    joined("stack", np.stack, 0, (), ()),
    joined("stack", np.stack, -1, (3,), (3,), (3,)),
    joined("stack", np.stack, 1, (2, 3), (2, 3)),
    joined("stack", np.stack, 0, (0, 2), (0, 2)),
    joined("stack", np.stack, -5, (2, 1, 3, 2), (2, 1, 3, 2)),
    joined("stack", np.stack, 0, (2, 2)),
    case(lambda x, y: tp.stack([x, y]), t(2), t(2), oracle=lambda x, y: np.stack([x, y])),
)


def cut(shape: Shape, parts: Any, dim: int = 0, grows: bool = True) -> Case:
    return moved(lambda x: tp.split(x, parts, dim), lambda x: oracles.split(x, parts, dim), *shape,
                 grows=grows, label=f"{parts} dim={dim}", many=True)  # fmt: skip


SPLIT = movement(
    "split",
    cut((5,), 3),
    cut((4,), 3),
    cut((6, 2), 2),
    cut((2, 5), 2, -1),
    cut((3,), 1),
    cut((2,), 4),
    cut((0, 2), 2),
    cut((5, 2), [2, 3], grows=False),
    cut((2, 4), (1, 0, 3), 1, grows=False),
    cut((2, 1, 5, 1, 2), [5], -3, grows=False),
    cut((0,), [0, 0], grows=False),
    moved(lambda x: tp.split(x, [1, x.shape[0] - 1]), lambda x: [x[:1], x[1:]], 4, 2, many=True),
)


def padded(shape: Shape, amounts: Any, mode: Any = "constant") -> Case:
    return moved(lambda x: tp.pad(x, amounts, mode),
                 lambda x: np.pad(x, amounts, mode) if amounts else x,
                 *shape, label=f"{amounts} {mode}")  # fmt: skip


def filled(value: Any, dtypes: tuple[str, ...]) -> Case:
    return moved(lambda x: tp.pad(x, [(1, 2), (0, 1)], value=value),
                 lambda x: np.pad(x, [(1, 2), (0, 1)], constant_values=np.asarray(value, x.dtype)),
                 2, 3, label=f"value={value}", dtypes=dtypes)  # fmt: skip


PAD = movement(
    "pad",
    padded((), []),
    padded((3,), [(1, 2)]),
    padded((0, 2), ((2, 0), (0, 1))),
    padded((2, 3, 2), [(0, 0), (1, 1), (0, 2)]),
    padded((2, 1, 3, 1, 2), [(1, 0)] * 5),
    padded((2, 3), [(0, 0), (0, 0)]),
    filled(3, (*NUMERIC, "int4", "float8")),
    filled(True, BOOL),
    filled(-0.75, FLOATING),
    filled(-1, tuple(kind for kind in INTEGERS if kind != "uint8")),
    padded((4,), [(3, 2)], "reflect"),
    padded((3, 4), [(2, 0), (1, 3)], "reflect"),
    padded((2, 1, 3, 2), [(0, 1), (0, 0), (2, 2), (1, 0)], "reflect"),
    padded((3,), [(2, 3)], "edge"),
    padded((1, 4), [(3, 0), (0, 1)], "edge"),
    padded((2, 3, 2), [(1, 1), (0, 2), (3, 0)], "edge"),
    moved(lambda x: tp.pad(x, [(x.shape[1], 0), (0, x.shape[0])]),
          lambda x: np.pad(x, [(x.shape[1], 0), (0, x.shape[0])]), 2, 3, label="sizes"),
)  # fmt: skip

ROWS: list[Row] = [
    RESHAPE,
    FLATTEN,
    SQUEEZE,
    UNSQUEEZE,
    PERMUTE,
    TRANSPOSE,
    EXPAND,
    CONCATENATE,
    STACK,
    SPLIT,
    PAD,
]

"""What the braces of the table stand for: each draws a text that fits the operand before it."""

from __future__ import annotations

import math
from typing import Any

from .draw import FLOATS, INTEGERS, MOST, SIZES, DeadEndError, Draw, Place, Var

PLACES: dict[str, Place] = {}


def place(function: Place) -> Place:
    PLACES[function.__name__.strip("_")] = function
    return function


def needs(condition: Any) -> None:
    if not condition:
        raise DeadEndError


# --- numbers and flags -----------------------------------------------------------------------


@place
def seed(draw: Draw) -> str:
    return str(draw.seed())


@place
def flag(draw: Draw) -> str:
    return str(draw.chance(0.5))


@place
def eps(draw: Draw) -> str:
    return str(draw.pick((0.1, 0.5, 1.0, 1e-3)))


@place
def number(draw: Draw) -> str:
    return str(draw.pick((0.0, 1.0, -1.0, 2.5)))


def _scalar_of(draw: Draw, dtype: str) -> str:
    if dtype == "bool":
        return str(draw.chance(0.5))
    if dtype in FLOATS:
        return str(draw.pick((0.5, 2.0, -1.0, 0.0, 1.0, 0.3, -0.75, 3.0, 1e-2, 100.0)))
    return str(draw.pick((0, 1, 2, 3, 5) if dtype == "uint8" else (0, 1, 2, 3, -1, -2, 7)))


@place
def scalar(draw: Draw) -> str:
    return _scalar_of(draw, draw.current.dtype)


@place
def low(draw: Draw) -> str:
    return "0" if draw.current.dtype in INTEGERS else str(draw.pick((-1.0, 0.0, -0.5, "None")))


@place
def high(draw: Draw) -> str:
    return "3" if draw.current.dtype in INTEGERS else str(draw.pick((1.0, 6.0, 0.5)))


@place
def divisor(draw: Draw) -> str:
    is_float = draw.current.dtype in FLOATS
    return str(draw.pick((0.5, 2.0, 3.0, -1.5) if is_float else (1, 2, 3, 4, 7)))


@place
def dtype(draw: Draw) -> str:
    rare = draw.engine == "xla" or draw.chance(0.15)
    names = (*FLOATS, *INTEGERS, "bool") if rare else ("float32", "float32", "int32", "int8")
    return f"tp.{draw.pick(names)}"


@place
def owndtype(draw: Draw) -> str:
    return f"tp.{draw.current.dtype}"


@place
def width(draw: Draw) -> str:
    return str(draw.pick(SIZES))


# --- dims ------------------------------------------------------------------------------------


def _dim_text(draw: Draw, at: int) -> str:
    return str(at - draw.current.rank if draw.chance(0.4) else at)


@place
def dim(draw: Draw) -> str:
    rank = draw.current.rank
    needs(rank)
    text = _dim_text(draw, rank - 1 if draw.chance(0.4) else draw.rng.randrange(rank))
    draw.notes["dim"] = text
    return text


@place
def samedim(draw: Draw) -> str:
    return draw.notes["dim"] if "dim" in draw.notes else dim(draw)


@place
def newdim(draw: Draw) -> str:
    needs(draw.current.rank < 5)
    return str(draw.rng.randint(-draw.current.rank - 1, draw.current.rank))


@place
def dims(draw: Draw) -> str:
    rank = draw.current.rank
    if rank == 0 or draw.chance(0.1):
        return "None"
    if draw.chance(0.6):
        return dim(draw)
    found = draw.rng.sample(range(rank), draw.rng.randint(1, rank))
    return f"({', '.join(_dim_text(draw, at) for at in found)},)"


@place
def spatial(draw: Draw) -> str:
    return str(tuple(range(2, draw.current.rank)))


@place
def ones(draw: Draw) -> str:
    found = [at for at, n in enumerate(draw.current.shape) if n == 1]
    needs(found)
    return str(draw.pick(found))


@place
def perm(draw: Draw) -> str:
    rank = draw.current.rank
    return str(tuple(draw.rng.sample(range(rank), rank)))


@place
def span(draw: Draw) -> str:
    first, last = sorted(draw.rng.choices(range(draw.current.rank), k=2))
    return f"{first}, {last}"


@place
def k(draw: Draw) -> str:
    return str(draw.pick((1, 1, 2, 3)))


@place
def topdim(draw: Draw) -> str:
    found = [at for at, n in enumerate(draw.current.shape) if n > 2]
    needs(found)
    return _dim_text(draw, draw.pick(found))


@place
def two(draw: Draw) -> str:
    draw.arity = 2
    return ""


@place
def parts(draw: Draw) -> str:
    size = draw.current.shape[int(dim(draw))]
    count = draw.pick((1, 2, 2, 3))
    draw.arity = count
    if not draw.chance(0.3) or size < count:
        return str(count)
    cuts = sorted(draw.rng.choices(range(size + 1), k=count - 1))
    return str([b - a for a, b in zip([0, *cuts], [*cuts, size])])


# --- shapes ----------------------------------------------------------------------------------


def _size_text(draw: Draw, at: int) -> str:
    v = draw.current
    is_plain = v.fixed[at] and draw.chance(0.8)
    return str(v.shape[at]) if is_plain else f"{v.name}.shape[{at}]"


@place
def shape(draw: Draw) -> str:
    """Dims merged, split, or all of them in one."""
    v = draw.current
    if draw.chance(0.15) or not v.rank:
        return str(draw.pick(("(-1,)", "(-1, 1)", "(1, -1)", "(1, -1, 1)")))
    sizes = [_size_text(draw, at) for at in range(v.rank)]
    at = draw.rng.randrange(v.rank)
    if v.rank > 1 and draw.chance(0.5):
        at = min(at, v.rank - 2)
        sizes[at : at + 2] = ["-1" if draw.chance(0.5) else f"{sizes[at]} * {sizes[at + 1]}"]
    else:
        divisors = [n for n in (1, 2, 3, 4) if v.fixed[at] and n and v.shape[at] % n == 0]
        n = draw.pick(divisors or [1])
        other = str(v.shape[at] // n) if v.fixed[at] and draw.chance(0.5) else "-1"
        sizes[at : at + 1] = [str(n), other] if draw.chance(0.5) else [other, str(n)]
    needs(len(sizes) <= 5)
    return f"({', '.join(sizes)},)"


@place
def _expand(draw: Draw) -> str:
    v = draw.current
    sizes = [str(draw.pick((2, 3, -1))) if n == 1 else "-1" for n in v.shape]
    lead = [str(draw.pick((1, 2, 3)))] if draw.chance(0.5) and v.rank < 5 else []
    needs(lead or sizes)
    return f"({', '.join([*lead, *sizes])},)"


@place
def pads(draw: Draw) -> str:
    text = str([(draw.pick((0, 0, 1, 2)), draw.pick((0, 0, 1))) for _ in draw.current.shape])
    return text if draw.chance(0.6) else f"{text}, value={scalar(draw)}"


@place
def onepads(draw: Draw) -> str:
    found = [(0, 0)] * draw.current.rank
    found[draw.rng.randrange(len(found))] = (draw.pick((0, 1, 2)), draw.pick((0, 1)))
    return str(found)


@place
def reps(draw: Draw) -> str:
    return str(tuple(draw.pick((1, 1, 2)) for _ in draw.current.shape))


def _slice(draw: Draw, size: int) -> str:
    ends = ["", "", "1", "2", "-1", "-2", str(size // 2), str(max(size - 1, 0)), str(size + 3)]
    step = draw.pick(("", "", "", "", ":2", ":3", ":-1", ":-2"))
    return f"{draw.pick(ends)}:{draw.pick(ends)}{step}"


@place
def index(draw: Draw) -> str:
    items = []
    for size in draw.current.shape[: draw.rng.randint(1, draw.current.rank)]:
        if draw.chance(0.15):
            items.append(str(draw.pick((0, -1, size // 2))))
        elif draw.chance(0.05):
            items.append("None")
        items.append(":" if draw.chance(0.35) else _slice(draw, size))
    items = items[: draw.current.rank]
    if draw.chance(0.2):
        items.insert(0 if draw.chance(0.5) else len(items), "...")
    return f"[{', '.join(items)}]"


@place
def cut(draw: Draw) -> str:
    """A slice of one dim that often leaves one element or none."""
    at = draw.rng.randrange(draw.current.rank)
    size = draw.current.shape[at]
    text = draw.pick((":1", "1:", "2:", ":-1", "::2", f"{size - 1}:", "1:-1", ":0", f":{size - 1}"))
    return f"[{', '.join([':'] * at + [text])}]"


# --- operands --------------------------------------------------------------------------------


def _fits(v: Var, want: Var) -> bool:
    pairs = zip(v.shape[::-1], want.shape[::-1])
    return v.dtype == want.dtype and all(a == b or 1 in (a, b) for a, b in pairs)


def _beside(draw: Draw, v: Var) -> tuple[int, ...]:
    """A shape that broadcasts with a tensor: a dim's, one element, everything."""
    sizes = v.static
    way = draw.rng.random()
    if way < 0.2 or not sizes:
        return (1,) * draw.rng.randint(0, min(5, v.rank + 1))
    if way < 0.35:
        return sizes
    if way < 0.5:
        return sizes[-1:]
    at = draw.rng.randrange(len(sizes))
    row = tuple(n if i == at else 1 for i, n in enumerate(sizes))
    return row[at:] if draw.chance(0.6) else row


def _is_small(a: Var, shape: tuple[int, ...]) -> bool:
    rank = max(a.rank, len(shape))
    x, y = ((1,) * (rank - len(s)) + tuple(s) for s in (a.shape, shape))
    return math.prod(max(p, q) for p, q in zip(x, y)) <= MOST


@place
def like(draw: Draw) -> str:
    """An operand that broadcasts: another result, a number, or a constant."""
    v = draw.current
    found = [o for o in draw.vars if _fits(o, v) and _is_small(v, o.shape)]
    if found and draw.chance(0.4):
        return str(draw.pick(found).name)
    if draw.chance(0.25):
        return scalar(draw)
    kind = draw.pick(("", "positive", "halves")) if v.dtype in FLOATS else ""
    return draw.constant(_beside(draw, v), v.dtype, kind)


@place
def small(draw: Draw) -> str:
    """A constant of one element, of any rank."""
    if draw.chance(0.2):
        return str(draw.pick((0.5, 0.1, 1.0)))
    return draw.constant((1,) * draw.rng.randint(0, 5), draw.current.dtype, "positive")


@place
def same(draw: Draw) -> str:
    v = draw.current
    found = draw.same(v)
    if found is not None and (draw.chance(0.7) or not all(v.fixed)):
        return found.name
    return draw.constant(v.shape, v.dtype)


@place
def mask(draw: Draw) -> str:
    v = draw.current
    found = [o for o in draw.vars if o.dtype == "bool" and _fits(o, Var("", "bool", v.shape, ()))]
    if found and draw.chance(0.5):
        return str(draw.pick(found).name)
    if v.dtype in FLOATS and draw.chance(0.4):
        return f"{v.name} > {scalar(draw)}"
    return draw.constant(_beside(draw, v), "bool", "bits")


@place
def beside(draw: Draw) -> str:
    """A tensor that differs in one dim at most."""
    v = draw.current
    at = int(dim(draw)) % v.rank
    rest = [o for o in draw.vars if o.dtype == v.dtype and o.rank == v.rank]
    rest = [
        o for o in rest if all(a == b for i, (a, b) in enumerate(zip(o.shape, v.shape)) if i != at)
    ]
    if not all(f or i == at for i, f in enumerate(v.fixed)) or (rest and draw.chance(0.5)):
        return str(draw.pick(rest).name)
    sizes = [draw.pick((0, 1, 2, 3)) if i == at else n for i, n in enumerate(v.shape)]
    return draw.constant(sizes, v.dtype)


@place
def vector(draw: Draw) -> str:
    return draw.constant((draw.pick(SIZES),), draw.current.dtype)


@place
def matrix(draw: Draw) -> str:
    """The right operand of a product: a constant, or another result."""
    v = draw.current
    inner = v.shape[-1]
    found = [o for o in draw.vars if o.dtype == v.dtype and o.rank and inner == o.shape[-2:][0]]
    if found and (draw.chance(0.4) or not v.fixed[-1]):
        return str(draw.pick(found).name)
    needs(v.fixed[-1])
    lead = v.static[:-2] if v.rank > 2 and draw.chance(0.3) else ()
    sizes = (*lead, inner, draw.pick(SIZES)) if lead or draw.chance(0.85) else (inner,)
    return draw.constant(sizes, v.dtype)


# --- indices ---------------------------------------------------------------------------------


def _bound(draw: Draw) -> int:
    v, at = draw.current, int(draw.notes["dim"])
    needs(v.shape[at])
    return v.shape[at] if v.fixed[at] else 1


@place
def indices(draw: Draw) -> str:
    shape = draw.pick(((), (1,), (3,), (2, 2), (5,)))
    needs(draw.current.rank + len(shape) <= 6)
    return draw.constant(shape, draw.pick(("int32", "int64")), str(_bound(draw)))


@place
def places(draw: Draw) -> str:
    v, at = draw.current, int(draw.notes["dim"]) % draw.current.rank
    sizes = [draw.pick((1, 2, 3)) if i == at else n for i, n in enumerate(v.static)]
    draw.notes["places"] = str(sizes)
    return draw.constant(sizes, draw.pick(("int32", "int64")), str(_bound(draw)))


@place
def updates(draw: Draw) -> str:
    sizes = [int(n) for n in draw.notes["places"].strip("[]").split(",")]
    return scalar(draw) if draw.chance(0.3) else draw.constant(sizes, draw.current.dtype)

"""The state of drawing a program, and how operands and texts of steps are drawn from it."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .program import Input, Line, Symbol

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int32", "int64", "int8", "uint8", "int16")
KINDS = {"f": FLOATS, "i": INTEGERS, "n": FLOATS + INTEGERS, "b": ("bool",)}
KINDS["a"] = KINDS["n"] + KINDS["b"]
SIZES = (1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 8, 9, 12, 16, 17)
CHANNELS = (1, 2, 3, 4, 4, 6, 8, 8, 16, 16, 24, 32)
MOST = 3000  # elements of a result


class DeadEndError(Exception):
    """A step cannot be drawn from what there is."""


@dataclass(frozen=True)
class Var:
    """A tensor that steps may use; ``fixed`` tells which of its sizes are the same in all calls."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    fixed: tuple[bool, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def static(self) -> tuple[int, ...]:
        """The sizes, with 1 for those that vary."""
        return tuple(n if fixed else 1 for n, fixed in zip(self.shape, self.fixed))


@dataclass
class Draw:
    """A program while it is drawn."""

    rng: random.Random
    dynamic: bool
    quantized: bool
    engine: str
    inputs: list[Input] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    constants: list[Line] = field(default_factory=list)
    vars: list[Var] = field(default_factory=list)
    numbers: int = 0
    #: What the step being drawn refers to.
    main: Var | None = None
    now: Var | None = None
    results: list[Var] = field(default_factory=list)
    arity: int = 1
    notes: dict[str, str] = field(default_factory=dict)
    #: Called with new constants and inputs, which must be known before the step is tried.
    on_constant: Callable[[Line], Var] | None = None
    on_input: Callable[[Input], Var] | None = None

    # --- chances

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def pick(self, items: Sequence[Any]) -> Any:
        return items[int(self.rng.random() * len(items))]

    def name(self, letter: str) -> str:
        self.numbers += 1
        return f"{letter}{self.numbers - 1}"

    def seed(self) -> int:
        return self.rng.randrange(1000)

    # --- what there is

    @property
    def current(self) -> Var:
        if self.now is None:
            raise DeadEndError
        return self.now

    def operand(self, kind: str, ranks: range) -> Var:
        """A tensor for a row: mostly the newest that fits, sometimes a new input."""
        fitting = [v for v in self.vars if v.dtype in KINDS[kind] and v.rank in ranks]
        if not fitting or (len(self.inputs) < 4 and self.chance(0.04)):
            if len(self.inputs) >= 4 or self.chance(0.7 if self.vars else 0.0):
                raise DeadEndError
            return self.new_input(kind, ranks)
        if self.chance(0.6):
            return fitting[-1]
        return self.pick(fitting)

    def same(self, want: Var, others: bool = True) -> Var | None:
        """A tensor of the same dtype and shape, sometimes the very same one."""
        found = [v for v in self.vars if (v.dtype, v.shape) == (want.dtype, want.shape)]
        return self.pick(found) if found and others else None

    # --- new inputs and constants

    def dtype_for(self, kind: str) -> str:
        if kind == "b":
            return "bool"
        if kind == "i" or (kind in "na" and self.chance(0.2)):
            return str(self.pick(("int32", "int32", "int32", "int64", "int8", "uint8", "int16")))
        if kind == "a" and self.chance(0.1):
            return "bool"
        rare = 0.0 if self.quantized else 0.06
        return str(self.pick(FLOATS[1:3])) if self.chance(rare) else "float32"

    def kind_of(self, dtype: str) -> str:
        """What the elements of an input are like."""
        if dtype == "bool":
            return "bits"
        if dtype == "uint8":
            return "natural"
        if dtype in INTEGERS:
            return str(self.pick(("small", "small", "small", "wide")))
        kinds = ("normal",) * 9 + ("halves", "positive", "small", "natural", "special")
        return str(self.pick(kinds[:-1] if self.quantized else kinds))

    def new_input(self, kind: str, ranks: range) -> Var:
        dtype = self.dtype_for(kind)
        rank = self.pick([r for r in (0, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5) if r in ranks])
        sizes = [self.size(at, rank) for at in range(rank)]
        while math.prod(self.value(n) for n in sizes) > MOST:
            at = max(range(rank), key=lambda i: self.value(sizes[i]))
            sizes[at] = 2
        item = Input(f"x{len(self.inputs)}", dtype, tuple(sizes), self.kind_of(dtype))
        assert self.on_input is not None
        return self.on_input(item)

    def value(self, size: int | str) -> int:
        found = {s.name: s.opt for s in self.symbols}
        return size if isinstance(size, int) else found[size]

    def size(self, at: int, rank: int) -> int | str:
        """A size of an input; some are 0, some dynamic, some the size of another dim."""
        if self.dynamic and self.chance(0.5 if at != 1 or rank < 3 else 0.15):
            return self.symbol()
        if self.inputs and self.inputs[0].sizes and self.chance(0.4):
            return self.inputs[0].sizes[at % len(self.inputs[0].sizes)]
        if self.chance(0.01):
            return 0
        return int(self.pick(CHANNELS if rank > 2 and at == 1 else SIZES))

    def symbol(self) -> str:
        named = [s.name for s in self.symbols if s.named]
        if named and self.chance(0.5):
            return str(self.pick(named))
        opt = int(self.pick(SIZES))
        low = int(self.pick([n for n in (0, 1, 1, 1, 2, 3) if n <= opt]))
        high = opt + int(self.pick((0, 1, 3, 8, 50)))
        high += low == high
        made = Symbol(f"n{len(self.symbols)}", self.chance(0.7), low, opt, high)
        self.symbols.append(made)
        return made.name

    def constant(self, shape: Sequence[int], dtype: str, kind: str = "") -> str:
        """The name of a new constant."""
        if not kind:
            kind = "normal" if dtype in FLOATS else self.kind_of(dtype)
        if math.prod(shape) > 4 * MOST:
            raise DeadEndError
        code = f'constant({self.seed()}, {tuple(map(int, shape))}, "{kind}", "{dtype}")'
        return self.module(code)

    def module(self, code: str) -> str:
        assert self.on_constant is not None
        return self.on_constant(Line((self.name("c"),), code)).name


# --- templates -------------------------------------------------------------------------------

Place = Callable[[Draw], str]


def _closing(text: str, start: int) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    raise ValueError(text)


def _choices(text: str) -> list[str]:
    """The parts of ``p|q`` outside of inner braces."""
    parts, depth, last = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if letter == "|" and depth == 0:
            parts.append(text[last:at])
            last = at + 1
    return [*parts, text[last:]]


def expand(draw: Draw, template: str, places: dict[str, Place]) -> str:
    """The text of a step; operands and texts are drawn from left to right."""
    made, at = [], 0
    while (start := template.find("{", at)) >= 0:
        end = _closing(template, start)
        made += [template[at:start], _filled(draw, template[start + 1 : end], places)]
        at = end + 1
    return "".join([*made, template[at:]])


def _filled(draw: Draw, place: str, places: dict[str, Place]) -> str:
    choices = _choices(place)
    if len(choices) > 1:
        return expand(draw, draw.pick(choices), places)
    if place == "x":
        draw.now = draw.main
    elif place == "_":
        draw.now = draw.results[-1]
    elif re.fullmatch(r"\d", place):
        draw.now = draw.results[int(place)]
    else:
        return places[place](draw)
    return draw.current.name

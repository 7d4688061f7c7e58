"""Programs from seeds: steps of the table that run eagerly at every size are kept."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

import tripy as tp
from tripy import shapes
from tripy.compile import _Trace

from . import table
from .draw import MOST, DeadEndError, Draw, Var, expand
from .layers import PLACES
from .prelude import constant
from .program import Call, Input, Line, Program, Sizes, Symbol, namespace


class Mode(NamedTuple):
    """A way to compile programs."""

    engine: str
    precision: str = "float32"
    dynamic: bool = False
    quantized: bool = False
    #: Only one in so many seeds, where programs take long.
    every: int = 1

    @property
    def options(self) -> str:
        precision = "" if self.precision == "float32" else f', precision="{self.precision}"'
        return f'engine="{self.engine}"{precision}'


MODES = {
    "openvino": Mode("openvino"),
    "openvino-bfloat16": Mode("openvino", "bfloat16"),
    "openvino-dynamic": Mode("openvino", dynamic=True),
    "openvino-bfloat16-dynamic": Mode("openvino", "bfloat16", dynamic=True, every=2),
    "openvino-int8": Mode("openvino", quantized=True),
    "openvino-int8-dynamic": Mode("openvino", dynamic=True, quantized=True, every=2),
    "xla": Mode("xla", every=2),
    "xla-dynamic": Mode("xla", dynamic=True, every=8),
}


@cache
def _weights(quantized: bool) -> tuple[tuple[table.Row, ...], list[float]]:
    rows = table.rows(quantized)
    return rows, list(accumulate(row.weight for row in rows))


class Generator:
    """Draws one program; results of every step are known at several sizes while it is drawn."""

    def __init__(self, mode: str, seed: int) -> None:
        kind = MODES[mode]
        self.mode, self.seed = mode, seed
        rng = random.Random(f"{mode} {seed}")
        self.draw = Draw(rng, kind.dynamic, kind.quantized, kind.engine)
        self.draw.on_constant, self.draw.on_input = self._constant, self._input
        self.steps: list[Line] = []
        self.sizes: list[Sizes] = [{}, {}, {}] if kind.dynamic else [{}]
        self.spaces: list[dict[str, Any]] = [namespace() for _ in self.sizes]
        self.traced: dict[str, Any] = namespace()
        self.trace = _Trace(tp.device("cpu"))
        self.is_broken = False

    def program(self) -> Program:
        """Draw the whole program."""
        wanted = self.draw.rng.choice((5, 8, 10, 12, 15, 20, 20, 30, 40))
        self.draw.operand(self.draw.pick("ffffffnab"), range(6))
        for _ in range(wanted * 4):
            if len(self.steps) >= wanted or self.is_broken:
                break
            self._row()
        return self._finished()

    # --- one row of the table

    def _row(self) -> None:
        rows, weights = _weights(self.draw.quantized)
        row = rows[bisect(weights, self.draw.rng.random() * weights[-1])]
        draw = self.draw
        draw.notes, draw.results, draw.main = {}, [], None
        try:
            draw.main = draw.now = draw.operand(row.kind, row.ranks)
            for step in row.steps:
                self._step(step)
        except DeadEndError:
            pass
        except (IndexError, KeyError, ZeroDivisionError):  # nothing to pick from
            pass

    def _step(self, template: str) -> None:
        draw = self.draw
        draw.arity = 1
        code = expand(draw, template, PLACES)
        names = tuple(draw.name("v") for _ in range(draw.arity))
        line = Line(names, code, template)
        made = self._tried(line, names)
        self.steps.append(line)
        draw.vars += made
        draw.results.append(made[0])
        draw.now = made[0]

    def _tried(self, line: Line, names: Sequence[str]) -> list[Var]:
        """Run a step everywhere; a step that is an error, or whose results are no use, is none."""
        code = compile(line.text, "<program>", "exec")
        try:
            for space in self.spaces:
                exec(code, space)
                self._check([space[name] for name in names])
            self._traced(code)
        except tp.TripyException as problem:
            raise DeadEndError from problem
        except DeadEndError:
            raise
        except Exception:  # a bug of the front end, which the check of the program will show
            self.is_broken = True
            self.steps.append(line)
            raise DeadEndError from None
        return [self._var(name) for name in names]

    def _check(self, results: Sequence[Any]) -> None:
        for tensor in results:
            if np.prod(tensor.shape) > MOST or len(tensor.shape) > 6:
                raise DeadEndError
            x = tensor.numpy()
            if x.dtype.kind not in "biu" and x.size:
                self._check_floats(x.astype(np.float32))

    def _check_floats(self, x: Any) -> None:
        """Values that say nothing about what follows are rarely kept."""
        with np.errstate(all="ignore"):
            finite = np.isfinite(x)
            most = np.abs(x[finite]).max() if finite.any() else 0.0
        if (finite.mean() < 0.7 or most > 1e4) and self.draw.chance(0.97):
            raise DeadEndError

    def _traced(self, code: Any) -> None:
        if not self.draw.dynamic:
            return
        token = shapes.open_conditions.set([])
        try:
            exec(code, self.traced)
        finally:
            shapes.open_conditions.reset(token)

    def _var(self, name: str) -> Var:
        tensor = self.spaces[0][name]
        shape = tuple(int(n) for n in tensor.shape)
        sizes = self.traced[name]._value.shape if self.draw.dynamic else shape
        return Var(name, tensor.dtype.name, shape, tuple(isinstance(n, int) for n in sizes))

    # --- constants and inputs

    def _constant(self, line: Line) -> Var:
        name = line.targets[0]
        exec(line.text, self.spaces[0])
        for space in (*self.spaces[1:], self.traced):
            space[name] = self.spaces[0][name]
        self.draw.constants.append(line)
        return (
            self._var(name)
            if isinstance(self.spaces[0][name], tp.Tensor)
            else Var(name, "", (), ())
        )

    def _input(self, item: Input) -> Var:
        self.draw.inputs.append(item)
        self._draw_sizes()
        for space, sizes in zip(self.spaces, self.sizes):
            seed = self.seed % 10**6 + item.number
            space[item.name] = constant(seed, item.shape(sizes), item.kind, item.dtype)
        if self.draw.dynamic:
            info = eval(Program("", 0, (item,), tuple(self.draw.symbols)).infos, {"tp": tp})[0]
            self.traced[item.name] = self.trace.placeholder(item.name, info)
        var = self._var(item.name)
        self.draw.vars.append(var)
        return var

    def _draw_sizes(self) -> None:
        """Sizes of new symbols: the usual ones, an extreme, and others."""
        for n, sizes in enumerate(self.sizes):
            for symbol in self.draw.symbols:
                sizes.setdefault(symbol.name, self._size(symbol, n))

    def _size(self, symbol: Symbol, n: int) -> int:
        if n == 0:
            return symbol.opt
        near = self.draw.rng.randint(symbol.low, min(symbol.high, symbol.opt + 4))
        return int(self.draw.pick((symbol.low, near) if n == 1 else (near, min(symbol.high, 20))))

    # --- the end

    def _finished(self) -> Program:
        draw = self.draw
        return Program(
            self.mode,
            self.seed,
            tuple(draw.inputs),
            tuple(draw.symbols),
            tuple(draw.constants),
            tuple(self.steps),
            self._outputs(),
            self._calls(),
        ).pruned()

    def _outputs(self) -> tuple[str, ...]:
        """The last result, results that nothing uses, sometimes others and inputs."""
        made = [v.name for v in self.draw.vars if v.name.startswith("v")]
        used = {name for line in self.steps for name in line.uses}
        loose = [name for name in made if name not in used]
        found = loose[-1:] + self.draw.rng.sample(loose[:-1], min(len(loose[:-1]), 3))
        extra = self.draw.rng.sample(made, 1) if made and self.draw.chance(0.4) else []
        inputs = ["x0"] if self.draw.chance(0.03) or not made else []
        if self.is_broken:
            inputs = [*self.steps[-1].targets, *inputs]
        return tuple(dict.fromkeys([*found, *extra, *inputs]))

    def _calls(self) -> tuple[Call, ...]:
        """Every set of sizes, and the first inputs once more at the end."""
        seed = self.seed % 10**6
        calls = [Call(tuple(sizes.items()), seed) for sizes in self.sizes]
        if self.draw.dynamic:
            self.draw.rng.shuffle(calls)
            return (*calls, calls[0], calls[1])
        return (*calls, Call((), seed + 100), *calls)


def generated(mode: str, seed: int) -> Program:
    """The program of a seed."""
    with tp.config.override(eager_threshold=None), np.errstate(all="ignore"):
        return Generator(mode, seed).program()


__all__ = ["MODES", "Mode", "generated"]

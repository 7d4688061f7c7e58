"""The smallest program that goes wrong in the same way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

import tripy as tp

from .program import NAME, Call, Input, Line, Program, Symbol, namespace

#: dtype and the shape in every call, of each name.
Kinds = Mapping[str, tuple[str, Sequence[Sequence[int]]]]


def kinds_of(program: Program) -> dict[str, tuple[str, list[list[int]]]]:
    """What every input and result is in each call, computed eagerly."""
    spaces = []
    with tp.config.override(eager_threshold=None), np.errstate(all="ignore"):
        for call in program.calls:
            space = namespace()
            for line in program.constants:
                exec(line.text, space)
            pairs = zip(program.inputs, program.arrays(call))
            space |= {item.name: tp.Tensor(array) for item, array in pairs}
            for line in program.steps:
                exec(line.text, space)
            spaces.append(space)
    names = [i.name for i in program.inputs] + [t for s in program.steps for t in s.targets]
    return {
        name: (spaces[0][name].dtype.name, [[int(n) for n in s[name].shape] for s in spaces])
        for name in names
    }


class Shrinker:
    """Makes a program smaller while it keeps going wrong; each trial is a task of a worker."""

    def __init__(
        self,
        program: Program,
        fails: Callable[[Program], bool],
        kinds: Callable[[Program], Kinds],
        seconds: float = 60.0,
    ) -> None:
        self.best, self.fails, self.kinds_of = program, fails, kinds
        self.end = time.monotonic() + seconds
        self.tried: set[Program] = set()

    def run(self) -> Program:
        """The smallest program found in the time."""
        previous = None
        while previous != self.best and time.monotonic() < self.end:
            previous = self.best
            for way in (
                _outputs,
                _inputs,
                _calls,
                self._cuts,
                _inputs,
                self._bypasses,
                _sizes,
                _kinds,
            ):
                self._take(way)
        return self.best

    def _take(self, way: Callable[[Program], Iterator[Program]]) -> None:
        """Try one kind of change until none of it helps."""
        again = True
        while again and time.monotonic() < self.end:
            again = False
            for candidate in way(self.best):
                if time.monotonic() > self.end:
                    return
                if self._is_new(candidate) and self.fails(candidate):
                    self.best, again = candidate, True
                    break

    def _is_new(self, program: Program) -> bool:
        if program in self.tried or program == self.best:
            return False
        self.tried.add(program)
        return True

    def _cuts(self, program: Program) -> Iterator[Program]:
        """Results that become inputs, the last ones first."""
        kinds = self.kinds_of(program)
        used = {name for line in program.steps for name in line.uses}
        for line in reversed(program.steps):
            for target in line.targets:
                if target in kinds and target in used:
                    yield _cut(program, target, kinds)

    def _bypasses(self, program: Program) -> Iterator[Program]:
        """Results replaced by an operand, or another result, of the same kind."""
        kinds = self.kinds_of(program)
        for at, line in enumerate(program.steps):
            if len(line.targets) != 1 or line.targets[0] not in kinds:
                continue
            for name in dict.fromkeys(line.uses):
                if kinds.get(name) == kinds[line.targets[0]]:
                    yield _renamed(program, at, line.targets[0], name)


def _renamed(program: Program, at: int, old: str, new: str) -> Program:
    def change(match: re.Match[str]) -> str:
        return new if match[0] == old else match[0]

    steps = program.steps[:at] + tuple(
        replace(line, code=NAME.sub(change, line.code)) for line in program.steps[at + 1 :]
    )
    outputs = tuple(dict.fromkeys(new if name == old else name for name in program.outputs))
    return program.replaced(steps=steps, outputs=outputs).pruned()


def _cut(program: Program, target: str, kinds: Kinds) -> Program:
    """A result becomes an input; its name stays in a step, so that nothing else changes."""
    dtype, shapes = kinds[target]
    symbols, calls = list(program.symbols), [dict(call.sizes) for call in program.calls]
    sizes: list[int | str] = []
    for dim in range(len(shapes[0])):
        found = [shape[dim] for shape in shapes]
        sizes.append(found[0] if len(set(found)) == 1 else _symbol(found, symbols, calls))
    numbers = [int(i.name[1:]) for i in program.inputs]
    name = f"x{max(numbers, default=-1) + 1}"
    kind = {"bool": "bits", "uint8": "natural"}.get(
        dtype, "normal" if "float" in dtype else "small"
    )
    item = Input(name, dtype, tuple(sizes), kind)
    at = next(n for n, line in enumerate(program.steps) if target in line.targets)
    steps = tuple(
        replace(line, code=re.sub(rf"\b{target}\b", name, line.code)) for line in program.steps[at:]
    )
    outputs = tuple(name if output == target else output for output in program.outputs)
    made = tuple(Call(tuple(c.items()), call.seed) for c, call in zip(calls, program.calls))
    return program.replaced(
        steps=program.steps[:at] + steps,
        inputs=(*program.inputs, item),
        outputs=outputs,
        symbols=tuple(symbols),
        calls=made,
    ).pruned()


def _symbol(found: Sequence[int], symbols: list[Symbol], calls: list[dict[str, int]]) -> str:
    """The symbol whose sizes these are, or a new one."""
    for symbol in symbols:
        if [call.get(symbol.name) for call in calls] == list(found):
            return symbol.name
    name = f"n{len(symbols) + 100}"
    symbols.append(Symbol(name, True, min(found), found[0], max(found)))
    for call, size in zip(calls, found):
        call[name] = size
    return name


# --- changes that need no shapes -------------------------------------------------------------


def _outputs(program: Program) -> Iterator[Program]:
    """One output alone, the earliest result first; then outputs without one of them."""
    for line in program.steps:
        for target in line.targets:
            if program.outputs != (target,):
                yield program.replaced(outputs=(target,)).pruned()
    if len(program.outputs) > 1:
        for name in program.outputs:
            rest = tuple(o for o in program.outputs if o != name)
            yield program.replaced(outputs=rest).pruned()


def _calls(program: Program) -> Iterator[Program]:
    for call in dict.fromkeys(program.calls):
        if program.calls != (call,):
            yield program.replaced(calls=(call,))
    for n in range(len(program.calls)):
        if len(program.calls) > 1:
            yield program.replaced(calls=program.calls[:n] + program.calls[n + 1 :])


def _inputs(program: Program) -> Iterator[Program]:
    """Without inputs that nothing uses."""
    used = {name for line in program.steps for name in line.uses} | set(program.outputs)
    kept = tuple(i for i in program.inputs if i.name in used)
    if kept and kept != program.inputs:
        yield program.replaced(inputs=kept)


def _sizes(program: Program) -> Iterator[Program]:
    """Dynamic sizes that become fixed; sizes that become smaller everywhere in the text."""
    for symbol in program.symbols:
        found = {dict(call.sizes).get(symbol.name) for call in program.calls}
        if len(found) == 1 and (size := found.pop()) is not None:
            yield _fixed(program, symbol, size)
    sizes = {n for i in program.inputs for n in i.sizes if isinstance(n, int)}
    for old in sorted((n for n in sizes if n > 2), reverse=True):
        for new in dict.fromkeys((2, 3, old // 2, old - 1)):
            if new < old:
                yield _resized(program, old, new)


def _fixed(program: Program, symbol: Symbol, size: int) -> Program:
    inputs = tuple(
        replace(i, sizes=tuple(size if n == symbol.name else n for n in i.sizes))
        for i in program.inputs
    )
    calls = tuple(
        replace(c, sizes=tuple(p for p in c.sizes if p[0] != symbol.name)) for c in program.calls
    )
    symbols = tuple(s for s in program.symbols if s != symbol)
    return program.replaced(inputs=inputs, symbols=symbols, calls=calls)


def _resized(program: Program, old: int, new: int) -> Program:
    def changed(line: Line) -> Line:
        return replace(line, code=re.sub(rf"(?<![\w.]){old}(?![\w.])", str(new), line.code))

    inputs = tuple(
        replace(i, sizes=tuple(new if n == old else n for n in i.sizes)) for i in program.inputs
    )
    return program.replaced(
        inputs=inputs,
        constants=tuple(map(changed, program.constants)),
        steps=tuple(map(changed, program.steps)),
    )


def _kinds(program: Program) -> Iterator[Program]:
    """Inputs of usual elements; steps written more simply."""
    for at, item in enumerate(program.inputs):
        if item.kind not in ("normal", "bits", "small"):
            kind = "normal" if "float" in item.dtype else "small"
            changed = replace(item, kind=kind)
            yield program.replaced(
                inputs=(*program.inputs[:at], changed, *program.inputs[at + 1 :])
            )
    for part in ("constants", "steps"):
        lines = getattr(program, part)
        for at, line in enumerate(lines):
            for code in _simpler(line.code):
                made = (*lines[:at], replace(line, code=code), *lines[at + 1 :])
                yield program.replaced(**{part: made})


def _simpler(code: str) -> Iterator[str]:
    """The text without one of its options."""
    for match in re.finditer(r", (\w+)=(\([^()]*(\([^()]*\)[^()]*)*\)|[^,()]+)", code):
        if match[1] not in ("dtype", "groups", "quant_dtype"):
            yield code[: match.start()] + code[match.end() :]

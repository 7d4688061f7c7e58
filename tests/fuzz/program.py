"""A program: inputs, constants and steps as lines of Python, and the sizes that it is called with.

The text is what runs and what a finding shows. Names are x0, x1, … for inputs, c0, … for constants
and modules, v0, … for results.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tripy as tp

from . import prelude

NAME = re.compile(r"\b[xcv]\d+\b")
Sizes = dict[str, int]


@dataclass(frozen=True)
class Symbol:
    """A dynamic size; ``named`` ones are a tp.NamedDimension, others a tuple of their bounds."""

    name: str
    named: bool
    low: int
    opt: int
    high: int

    @property
    def text(self) -> str:
        bounds = f"{self.low}, {self.opt}, {self.high}"
        return f'tp.NamedDimension("{self.name}", {bounds})' if self.named else f"({bounds})"


@dataclass(frozen=True)
class Input:
    """An input: sizes are ints or names of symbols; ``kind`` says what its elements are like."""

    name: str
    dtype: str
    sizes: tuple[int | str, ...]
    kind: str

    @property
    def number(self) -> int:
        """What its seed is counted by."""
        return int(self.name[1:])

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(n if isinstance(n, int) else sizes[n] for n in self.sizes)


@dataclass(frozen=True)
class Line:
    """An assignment; ``recipe`` is the row of the table that it was drawn from."""

    targets: tuple[str, ...]
    code: str
    recipe: str = ""

    @property
    def text(self) -> str:
        comma = "," if len(self.targets) == 1 and self.code.startswith("tp.split(") else ""
        return f"{', '.join(self.targets)}{comma} = {self.code}"

    @property
    def uses(self) -> list[str]:
        return NAME.findall(self.code)


@dataclass(frozen=True)
class Call:
    """One call: the sizes, and the seed of its inputs."""

    sizes: tuple[tuple[str, int], ...]
    seed: int


@dataclass(frozen=True)
class Program:
    """What is compiled, how, and how it is called."""

    mode: str
    seed: int
    inputs: tuple[Input, ...] = ()
    symbols: tuple[Symbol, ...] = ()
    constants: tuple[Line, ...] = ()
    steps: tuple[Line, ...] = ()
    outputs: tuple[str, ...] = ()
    calls: tuple[Call, ...] = field(default=(Call((), 0),))

    def replaced(self, **changes: Any) -> Program:
        return dataclasses.replace(self, **changes)

    def pruned(self) -> Program:
        """Without what the outputs do not need; inputs stay, because calls give them."""
        needed, steps = set(self.outputs), []
        for line in reversed(self.steps):
            if needed.intersection(line.targets):
                needed.update(line.uses)
                steps.append(line)
        constants = tuple(c for c in self.constants if c.targets[0] in needed)
        return self.replaced(steps=tuple(reversed(steps)), constants=constants)

    @property
    def source(self) -> str:
        """The program as Python text."""
        lines = [line.text for line in self.constants]
        lines += ["", "", f"def program({', '.join(i.name for i in self.inputs)}):"]
        lines += [f"    {line.text}" for line in self.steps]
        result = ", ".join(self.outputs)
        return "\n".join([*lines, f"    return {result}{',' if len(self.outputs) == 1 else ''}"])

    @property
    def infos(self) -> str:
        """The ``args`` of tp.compile as text."""
        found = {symbol.name: symbol for symbol in self.symbols}
        texts = []
        for item in self.inputs:
            sizes = [str(n) if isinstance(n, int) else found[n].text for n in item.sizes]
            shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
            texts.append(f"tp.InputInfo({shape}, tp.{item.dtype})")
        return f"[{', '.join(texts)}]"

    def arrays(self, call: Call) -> list[Any]:
        """The inputs of one call."""
        sizes = dict(call.sizes)
        return [
            prelude.array(call.seed + item.number, item.shape(sizes), item.kind, item.dtype)
            for item in self.inputs
        ]

    @property
    def operations(self) -> list[str]:
        """Names of the operations of the steps, for grouping."""
        return sorted({name for line in self.steps for name in operations(line.code)})


def operations(code: str) -> Iterable[str]:
    """The functions and operators in an expression."""
    calls = re.findall(r"tp\.(\w+)\(", code)
    code = re.sub(r"\([^()]*=[^()]*\)|\"[^\"]*\"", "", code)
    signs = re.findall(r"(?<=[\w)\]]) (//|\*\*|[-+*/%@&|^]|[<>!=]=|[<>]) ", code)
    index = ["[]"] if re.search(r"[vxc]\d+\[", code) else []
    return [*calls, *signs, *index]


def namespace() -> dict[str, Any]:
    """The names that the text of a program refers to."""
    made = {name: getattr(prelude, name) for name in ("array", "constant", "filled")}
    return {"np": np, "tp": tp, **made}


# --- as data, for other processes ------------------------------------------------------------


def to_data(program: Program) -> dict[str, Any]:
    return dataclasses.asdict(program)


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


def from_data(data: Mapping[str, Any]) -> Program:
    rows = {"inputs": Input, "symbols": Symbol, "constants": Line, "steps": Line, "calls": Call}
    made: dict[str, Any] = {key: _tuple(value) for key, value in data.items()}
    for key, kind in rows.items():
        made[key] = tuple(
            kind(**{name: _tuple(value) for name, value in row.items()}) for row in data[key]
        )
    return Program(**made)


# --- as a file -------------------------------------------------------------------------------

_MAIN = """
exe = tp.compile(program, args={infos}, {options})
for sizes, seed in {calls}:
    inputs = [tp.Tensor(array(seed + n, tuple(sizes.get(s, s) for s in shape), kind, dtype))
              for n, shape, kind, dtype in {inputs}]
    with tp.config.override(eager_threshold=None):
        wanted = [np.asarray(y) for y in program(*inputs)]
    got = [np.asarray(y) for y in exe(*inputs)]
    for name, g, w in zip({outputs}, got, wanted):
        far = np.max(np.abs(g.astype(float) - w.astype(float)), initial=0)
        print(sizes or "", name, "largest difference", far)
        if far != 0:
            print(f"got\\n{{g}}\\nwanted\\n{{w}}")
"""


def runnable(program: Program, options: str, remark: str) -> str:
    """A file that shows what a program gives and what it should."""
    text = program.source
    needed = ["array"] + [n for n in ("constant", "filled") if f"{n}(" in text]
    functions = "\n\n\n".join(inspect.getsource(getattr(prelude, name)) for name in needed)
    head = ["from __future__ import annotations", "from typing import Any", "import ml_dtypes"]
    head += ["import numpy as np", "import tripy as tp"]
    main = _MAIN.format(
        infos=program.infos,
        options=options,
        calls=[(dict(call.sizes), call.seed) for call in program.calls],
        inputs=[(i.number, i.sizes, i.kind, i.dtype) for i in program.inputs],
        outputs=list(program.outputs),
    )
    remarks = "\n".join(f"# {line}" for line in remark.splitlines())
    return "\n".join([remarks, *head, "\n", functions, "", text, "", main])

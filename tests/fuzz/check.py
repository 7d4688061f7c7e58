"""What one program does on an engine, beside the reference engine and float64."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import tripy as tp

from .generate import MODES, Mode
from .noise import HALF, STEP, Noise, allowed, distance, interpret, spreads
from .program import Call, Program, namespace


@dataclass(frozen=True)
class Outcome:
    """``kind`` is ok, refused, invalid, or what is wrong; ``key`` is a short form of the detail."""

    kind: str
    detail: str = ""
    key: str = ""

    @property
    def is_finding(self) -> bool:
        return self.kind not in ("ok", "refused", "invalid")

    def data(self) -> dict[str, str]:
        return asdict(self)


OK = Outcome("ok")


class Difference(Exception):
    """A result is wrong."""

    def __init__(self, kind: str, detail: str, key: str = "") -> None:
        super().__init__(detail)
        self.outcome = Outcome(kind, detail, key)


def check(program: Program) -> Outcome:
    """Compile, call and compare; never raises for what the program does."""
    with tp.config.override(eager_threshold=None), np.errstate(all="ignore"):
        try:
            function, infos = _executed(program)
            reference = tp.compile(function, args=infos, engine="reference")
        except tp.TripyException as problem:
            return Outcome("invalid", str(problem))
        except Exception as problem:
            return Outcome("front end", repr(problem), _words(repr(problem)))
        return _compared(program, function, infos, reference)


def _executed(program: Program) -> tuple[Any, Any]:
    space = namespace()
    exec(compile(program.source, "<program>", "exec"), space)
    return space["program"], eval(program.infos, space)


def _compared(program: Program, function: Any, infos: Any, reference: Any) -> Outcome:
    mode = MODES[program.mode]
    precision = None if mode.precision == "float32" else mode.precision
    try:
        exe = tp.compile(function, args=infos, engine=mode.engine, precision=precision)
    except tp.TripyUnsupportedError as problem:
        return Outcome("refused", str(problem), _reason(str(problem)))
    except Exception as problem:
        return Outcome("compile", _shown(problem), _words(_shown(problem)))
    try:
        _Comparison(program, mode, reference, exe).run()
    except Difference as found:
        return found.outcome
    return OK


def _shown(problem: Exception) -> str:
    """An error without the lines that it points at, which are this tool's own."""
    text = " ".join(str(problem).split())
    received = re.search(r"received: (.*?)( expected: |$)", text)
    head = text.split(" --> ")[0]
    return f"{type(problem).__name__}: {head} {received[1] if received else ''}"


def _reason(message: str) -> str:
    """Why an engine refuses, without where."""
    found = re.findall(r"(\w+ \([^)]*\)|has no precision \S+)", message)
    return "; ".join(sorted(set(found))) or message.splitlines()[0]


def _words(message: str) -> str:
    """The words of a message that do not depend on the program."""
    text = " ".join(message.split())
    found = re.search(r"(Check .*? failed|Exception from \S+ (?!Exception|Check).{1,80})", text)
    text = found[0] if found else text[:120]
    return re.sub(r"0x\w+|[\d.]*\d|/\S*/", "#", text)[:160]


class _Comparison:
    """All calls of one program."""

    def __init__(self, program: Program, mode: Mode, reference: Any, exe: Any) -> None:
        self.program, self.mode, self.reference, self.exe = program, mode, reference, exe
        self.graph = reference._graph
        self.seen: dict[Call, Any] = {}
        self.unread = set(program.calls)
        self.is_coarse = any(
            v.node is not None and v.node.primitive.name == "quantize" for v in self.graph.values
        )

    def run(self) -> None:
        for number, call in enumerate(self.program.calls):
            self._call(call, f"call {number}")

    def _call(self, call: Call, label: str) -> None:
        arrays = self.program.arrays(call)
        inputs = [tp.Tensor(array) for array in arrays]
        wanted = self._run(self.reference, inputs)
        got = self._run(self.exe, inputs)
        if isinstance(wanted, Exception):
            self._same_error(wanted, got)
            return
        if isinstance(got, Exception):
            raise Difference("call", f"{label}: {_shown(got)}", _words(_shown(got)))
        if call in self.seen:
            self._repeated(self.seen[call], got, label)
            return
        self.seen[call] = got
        for name, x, y in zip(self.program.outputs, got, wanted):
            if x.shape != y.shape or x.dtype != y.dtype:
                detail = f"{label}, {name}: {x.dtype}{x.shape} instead of {y.dtype}{y.shape}"
                raise Difference("type", detail)
        self._values(arrays, got, wanted, label)
        if len(self.seen) == 1:
            self._float64(arrays, wanted, label)

    def _run(self, exe: Any, inputs: Sequence[Any]) -> Any:
        try:
            return [np.asarray(y.numpy()) for y in exe(*inputs)]
        except Exception as problem:
            return problem

    def _same_error(self, wanted: Exception, got: Any) -> None:
        if not isinstance(wanted, tp.TripyException):
            raise Difference("front end", _shown(wanted), _words(_shown(wanted)))
        if type(got) is not type(wanted):
            detail = (
                f"{_shown(got) if isinstance(got, Exception) else got} instead of {_shown(wanted)}"
            )
            raise Difference("no error", detail, type(wanted).__name__)

    def _repeated(self, first: Sequence[Any], again: Sequence[Any], label: str) -> None:
        for name, x, y in zip(self.program.outputs, first, again):
            if not np.array_equal(x, y, equal_nan=x.dtype.kind not in "iub"):
                detail = f"{label}, {name}: {_first(x, y, x.dtype != y.dtype)}"
                raise Difference("repeat", detail)

    # --- values

    def _noises(self, count: int, levels: Sequence[float]) -> list[Noise]:
        precision = self.mode.precision
        made = [Noise(n, levels[n % len(levels)], precision) for n in range(count)]
        if any(v.dtype.name in HALF for v in self.graph.values):
            made += [Noise(n, 0.5, precision, wide=True) for n in (98, 99)]
        return made

    def _is_free(self, arrays: Any) -> bool:
        """Whether NaN may spread: XLA multiplies it by the zeros between strides."""
        names = {v.node.primitive.name for v in self.graph.values if v.node is not None}
        finite = all(np.isfinite(a).all() for a in arrays if a.dtype.kind == "f")
        return self.mode.engine == "xla" and "conv_transpose" in names and not finite

    def _values(self, arrays: Any, got: Any, wanted: Any, label: str) -> None:
        if self._is_free(arrays):
            return
        """Compare: first with next to no tolerance, then with a measured one, then a wider one."""
        if not self._wrong(got, wanted, [None] * len(wanted), 0):
            return
        for count, levels, factor in ((3, (2.0,), 3.0), (24, (2.0, 8.0, 32.0), 4.0)):
            if self.is_coarse:
                factor = factor / 2
            found = spreads(self.graph, arrays, wanted, self._noises(count, levels))
            wrong = self._wrong(got, wanted, found, factor)
            if not wrong:
                return
        raise Difference("values", f"{label}, {wrong}")

    def _wrong(self, got: Any, wanted: Any, found: Sequence[Any], factor: float) -> str:
        for name, x, y, spread in zip(self.program.outputs, got, wanted, found):
            step = STEP.get(str(y.dtype), 0.0)
            if spread is None:
                limit = _narrow(y)
            else:
                step = STEP[self.mode.precision] if y.dtype == np.float32 else step
                limit = allowed(spread, y, factor, step)
            far = distance(x, y)
            wrong = ~(far <= limit)
            if wrong.any():
                return f"{name}: {_first(x, y, wrong, limit)}"
        return ""

    def _float64(self, arrays: Any, wanted: Any, label: str) -> None:
        """The reference beside the same program in float64."""
        wide = interpret(self.graph, arrays, None, wide=True)
        wide = [x.astype(y.dtype) for x, y in zip(wide, wanted)]
        if not self._wrong(wide, wanted, [None] * len(wanted), 0):
            return
        noises = [*self._noises(8, (2.0, 8.0)), Noise(97, 1.0, wide=True)]
        found = spreads(self.graph, arrays, wanted, noises[:-1])
        wrong = self._wrong(wide, wanted, found, 4.0)
        if wrong:
            raise Difference("reference", f"{label}, float64 gives for {wrong}")


def _narrow(wanted: Any) -> Any:
    """A tolerance that needs no measuring: a few last places of float32."""
    if wanted.dtype.kind in "iub" or not wanted.size:
        return np.zeros(wanted.shape)
    size = np.abs(wanted.astype(np.float64))
    size = np.where(np.isfinite(size), size, 0.0)
    return 4e-6 * size + 1e-6 * size.max() + 2e-38


def _first(x: Any, y: Any, wrong: Any, limit: Any = None) -> str:
    """The first element that is wrong."""
    if wrong is True or np.ndim(wrong) != x.ndim:
        wrong = distance(x, y) > 0
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    text = f"{int(np.sum(wrong))} of {x.size} differ: {x[at]!r} instead of {y[at]!r} at {at}"
    return text if limit is None else f"{text}, allowed {float(limit[at]):.3g}"

"""Exception classes, source capture and the message that every error shows.

A message says what is wrong, shows the user's own line with a caret under the call or argument,
then what was received, what was expected and how to fix it.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import CodeType, FrameType
from typing import NamedTuple, TypeVar

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_USER_CODE_INSIDE = _PACKAGE + "demo" + os.sep
_MAX_FRAMES = 20

Source = tuple[tuple[CodeType, int], ...]
ArgumentPath = str | tuple[str | int, ...]


class TripyException(Exception):
    """Base class of every error that tripy raises."""


class TripyTypeError(TripyException, TypeError):
    """A wrong Python type, dtype, argument count or keyword."""


class TripyValueError(TripyException, ValueError):
    """A value outside its allowed set or range."""


class TripyShapeError(TripyValueError):
    """Ranks, sizes or volumes that do not fit together."""


class TripyStateDictError(TripyValueError):
    """A state dict that does not fit a module.

    Attributes:
        missing: sorted names that the module has and the state dict lacks.
        unexpected: sorted names that the state dict has and the module lacks.
        mismatched: (name, received, expected) for every value of another shape or dtype.
    """

    missing: list[str]
    unexpected: list[str]
    mismatched: list[tuple[str, str, str]]


class TripyIndexError(TripyException, IndexError):
    """A dim or an element index out of range, or too many indices."""


class TripyKeyError(TripyException, KeyError):
    """An unknown member of a container."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class TripyAttributeError(TripyException, AttributeError):
    """An unknown attribute or setting, or assignment to a frozen attribute."""


class TripyDeviceError(TripyException, RuntimeError):
    """A device that is not present, or tensors on different devices."""


class TripyCompileError(TripyException, RuntimeError):
    """An action that is impossible while a function is being compiled."""


class TripyUnsupportedError(TripyException, NotImplementedError):
    """An engine, file format or exporter lacks an operation, dtype or feature."""


class TripyRuntimeError(TripyException, RuntimeError):
    """An engine failed while building or running; its own exception is the ``__cause__``."""


class TripyMemoryError(TripyRuntimeError, MemoryError):
    """Not enough host or device memory."""


class TripyFileError(TripyException, OSError):
    """An unreadable, corrupted, foreign or too new file."""


class TripyFileNotFoundError(TripyFileError, FileNotFoundError):
    """The file does not exist."""


class TripyImportError(TripyException, ImportError):
    """An optional extra is needed and not installed."""


EXCEPTIONS: tuple[type[TripyException], ...] = (
    TripyException,
    TripyTypeError,
    TripyValueError,
    TripyShapeError,
    TripyStateDictError,
    TripyIndexError,
    TripyKeyError,
    TripyAttributeError,
    TripyDeviceError,
    TripyCompileError,
    TripyUnsupportedError,
    TripyRuntimeError,
    TripyMemoryError,
    TripyFileError,
    TripyFileNotFoundError,
    TripyImportError,
)


class Api(NamedTuple):
    """The public name and parameter names of a call, as the user wrote it."""

    title: str
    parameters: tuple[str, ...]


# --- source capture --------------------------------------------------------------------------

_internal: dict[str, bool] = {}


def _is_internal(filename: str) -> bool:
    known = _internal.get(filename)
    if known is None:
        inside = filename.startswith(_PACKAGE) and not filename.startswith(_USER_CODE_INSIDE)
        known = _internal[filename] = inside
    return known


def capture() -> Source:
    """Return (code, last instruction) of the user's frames, innermost first.

    Columns are resolved only when a message is printed, so recording an operation stays cheap.
    """
    frame: FrameType | None = sys._getframe(1)
    source: list[tuple[CodeType, int]] = []
    internal = _internal
    for _ in range(_MAX_FRAMES):
        if frame is None:
            break
        code = frame.f_code
        inside = internal.get(code.co_filename)
        if inside is None:
            inside = _is_internal(code.co_filename)
        if not inside:
            source.append((code, frame.f_lasti))
        frame = frame.f_back
    return tuple(source)


def _boundary() -> tuple[FrameType | None, Source]:
    """Return the outermost package frame below the innermost user frame, and the user's frames."""
    frame: FrameType | None = sys._getframe(1)
    boundary = None
    while frame is not None and _is_internal(frame.f_code.co_filename):
        boundary, frame = frame, frame.f_back
    source: list[tuple[CodeType, int]] = []
    while frame is not None and len(source) < _MAX_FRAMES:
        if not _is_internal(frame.f_code.co_filename):
            source.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return boundary, tuple(source)


def _api_of(frame: FrameType | None) -> Api | None:
    if frame is None or frame.f_code.co_name in ("__getattr__", "__setattr__"):
        return None
    api = frame.f_locals.get("_api")
    if isinstance(api, Api):
        return api
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    owner = frame.f_locals.get("self")
    if owner is None:
        return Api(f"tp.{code.co_name}", names)
    name = getattr(owner, "_call_parameters_", None)
    parameters = name() if callable(name) else names[1:]
    title = type(owner).__name__
    if code.co_name in _OPERATORS:
        title = _OPERATORS[code.co_name]
    elif not code.co_name.startswith("__"):
        title = f"{title}.{code.co_name}"
    return Api(title, tuple(parameters))


_SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "matmul": "@", "and": "&", "or": "|", "xor": "^", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "eq": "==", "ne": "!=", "invert": "~", "neg": "-", "pos": "+",
}  # fmt: skip
_OPERATORS = {f"__{prefix}{n}__": s for n, s in _SYMBOLS.items() for prefix in ("", "r")}
_OPERATORS["__getitem__"] = "indexing"


# --- from a code position to a caret ---------------------------------------------------------


class _Span(NamedTuple):
    line: int
    end_line: int
    column: int  # in characters
    end_column: int


def _characters(text: str, byte_column: int) -> int:
    return len(text.encode()[:byte_column].decode(errors="replace"))


def _instruction_span(code: CodeType, last_instruction: int) -> _Span | None:
    for index, position in enumerate(code.co_positions()):
        if index == last_instruction // 2:
            line, end_line, column, end_column = position
            if line is None or end_line is None or column is None or end_column is None:
                return None
            first = linecache.getline(code.co_filename, line)
            last = linecache.getline(code.co_filename, end_line)
            return _Span(line, end_line, _characters(first, column), _characters(last, end_column))
    return None


def _segment(filename: str, span: _Span) -> str:
    lines = [linecache.getline(filename, n) for n in range(span.line, span.end_line + 1)]
    if not lines or not lines[-1]:
        return ""
    lines[-1] = lines[-1][: span.end_column]
    lines[0] = lines[0][span.column :]
    return "".join(lines)


def _parse(segment: str) -> ast.AST | None:
    try:
        return ast.parse(f"({segment})", mode="eval").body
    except (SyntaxError, ValueError):
        pass
    try:  # `a += b` and other statements
        return ast.parse(f" {segment}".replace(" ", "", 1)).body[0]
    except (SyntaxError, ValueError, IndexError):
        return None


def _call_argument(call: ast.Call, name: str, api: Api) -> ast.AST | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if name not in api.parameters:
        is_method = isinstance(call.func, ast.Attribute) and api.title.startswith("Tensor.")
        return call.func.value if is_method and name == "input" else None  # type: ignore[attr-defined]
    position = api.parameters.index(name)
    plain = [a for a in call.args[: position + 1] if not isinstance(a, ast.Starred)]
    return call.args[position] if len(plain) == position + 1 else None


def _find_argument(tree: ast.AST, name: str, api: Api) -> ast.AST | None:
    if isinstance(tree, ast.Call):
        return _call_argument(tree, name, api)
    if isinstance(tree, ast.BinOp):
        return {"lhs": tree.left, "rhs": tree.right}.get(name)
    if isinstance(tree, ast.AugAssign):
        return {"lhs": tree.target, "rhs": tree.value}.get(name)
    if isinstance(tree, ast.Compare):
        return {"lhs": tree.left, "rhs": tree.comparators[0]}.get(name)
    if isinstance(tree, ast.Subscript) and name == "index":
        return tree.slice
    return None


def _element(tree: ast.AST, path: Sequence[str | int]) -> ast.AST:
    for key in path:
        if isinstance(tree, (ast.List, ast.Tuple)) and isinstance(key, int):
            if not 0 <= key < len(tree.elts):
                break
            tree = tree.elts[key]
    return tree


def _argument_span(
    filename: str, span: _Span, argument: ArgumentPath | None, api: Api | None
) -> _Span:
    """Narrow the span of a call to one of its arguments, where that can be found."""
    tree = _parse(_segment(filename, span)) if argument and api else None
    if tree is None or api is None or argument is None:
        return span
    path = (argument,) if isinstance(argument, str) else argument
    found = _find_argument(tree, str(path[0]), api)
    if found is None:
        return span
    found = _element(found, path[1:])
    statement = isinstance(tree, ast.AugAssign)
    shift = span.column - (0 if statement else 1)
    line, end_line = found.lineno, found.end_lineno or found.lineno  # type: ignore[attr-defined]
    text = _segment(filename, span).splitlines()
    column = _characters("(" * (not statement) + text[0], found.col_offset)  # type: ignore[attr-defined]
    end = found.end_col_offset or found.col_offset  # type: ignore[attr-defined]
    if line > 1:
        column = _characters(text[line - 1], found.col_offset)  # type: ignore[attr-defined]
    end_text = text[end_line - 1] if end_line > 1 else "(" * (not statement) + text[0]
    end_column = _characters(end_text, end)
    return _Span(
        span.line + line - 1,
        span.line + end_line - 1,
        column + (shift if line == 1 else 0),
        end_column + (shift if end_line == 1 else 0),
    )


def _excerpt(filename: str, span: _Span) -> list[str]:
    text = linecache.getline(filename, span.line).rstrip("\n")
    if not text.strip():
        return []
    last = span.end_column if span.end_line == span.line else len(text)
    indent = len(text) - len(text.lstrip())
    number = f"{span.line:>6} | "
    carets = "^" * max(1, last - span.column)
    gap = " " * (len(number) - 2) + "| " + " " * (span.column - indent)
    return [number + text.strip(), gap + carets]


def location(source: Source) -> str:
    """Return ``file:line, in function`` of the innermost user frame."""
    if not source:
        return "<unknown>"
    code, last_instruction = source[0]
    span = _instruction_span(code, last_instruction)
    line = span.line if span else code.co_firstlineno
    return f"{code.co_filename}:{line}, in {code.co_name}"


def show_source(
    source: Source, argument: ArgumentPath | None = None, api: Api | None = None
) -> list[str]:
    """Return the innermost user line with a caret under the call or the named argument."""
    if not source:
        return []
    code, last_instruction = source[0]
    lines = [f"  --> {location(source)}"]
    span = _instruction_span(code, last_instruction)
    if span is not None:
        lines += _excerpt(code.co_filename, _argument_span(code.co_filename, span, argument, api))
    return lines


ErrorT = TypeVar("ErrorT", bound=TripyException)

# --- the message -----------------------------------------------------------------------------

_verbose: list[str] = []  # filled by config.extra_error_information


def error(
    kind: type[ErrorT],
    problem: str,
    *,
    received: object = None,
    expected: object = None,
    fix: str | None = None,
    argument: ArgumentPath | None = None,
    made_at: Mapping[str, Source] | None = None,
    source: Source | None = None,
) -> ErrorT:
    """Build the exception ``kind`` with the full message; the caller raises it.

    Args:
        problem: one sentence that says what is wrong.
        received: what was given.
        expected: what would be accepted.
        fix: what to write instead.
        argument: parameter that the caret should mark, or a path into it such as ("tensors", 1).
        made_at: where operands came from, by the name to show.
        source: the operation's own source for errors found later than its call.
    """
    boundary, here = _boundary()
    api = _api_of(boundary)
    late = source is not None
    title = "" if late or api is None or not here else f"{api.title}: "
    lines = [title + problem, *show_source(source if source is not None else here, argument, api)]
    slots = (("received", received), ("expected", expected), ("how to fix", fix))
    lines += [f"  {name}: {text}" for name, text in slots if text is not None]
    for name, origin in (made_at or {}).items():
        if origin:
            lines.append(f"  {name} was made at {location(origin)}")
    if late and here and here[:1] != (source or ())[:1]:
        lines += ["  found while running", *show_source(here)]
    if "all" in _verbose:
        lines += ["  called from:", *(f"    {location(here[i:])}" for i in range(1, len(here)))]
    return kind("\n".join(lines))


def unknown_attribute(
    owner: str, name: str, known: Iterable[str], fix: str | None = None
) -> TripyAttributeError:
    """Return the error for an attribute that does not exist, with close matches."""
    if name.startswith("_"):  # protocols that look for hidden methods need a cheap answer
        return TripyAttributeError(f"{owner} has no attribute {name!r}")
    import difflib  # only needed here, and not cheap to import

    close = difflib.get_close_matches(name, list(known), 3)
    hint = "did you mean " + " or ".join(map(repr, close)) + "?" if close else None
    return error(TripyAttributeError, f"{owner} has no attribute {name!r}.", fix=fix or hint)


def set_verbose(kinds: Sequence[str]) -> None:
    """Choose what messages show beyond the user's line (``["all"]``: every frame)."""
    _verbose[:] = kinds

"""Where a user's call stands in the source: frames, the innermost user line, carets."""

from __future__ import annotations

import ast
import dis
import functools
import linecache
import os
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_USER_CODE_INSIDE = _PACKAGE + "demo" + os.sep
_COMMANDS = _PACKAGE + "__main__.py"  # what starts a command is no user's code
_MAX_FRAMES = 20


class Place(NamedTuple):
    """A line of source as a file keeps it."""

    file: str
    line: int
    function: str
    text: str


Frame = tuple[CodeType, int]
Source = tuple[Frame | Place, ...]
Path = tuple[str | int, ...]  # a parameter or a position, then keys inside the argument
ArgumentPath = str | Path
NOTHING = object()


class Api(NamedTuple):
    """The public name and parameter names of a call, as the user wrote it."""

    title: str
    parameters: tuple[str, ...]
    is_method: bool = False  # whether the arguments of its frame start with self


# --- source capture --------------------------------------------------------------------------

_internal: dict[str, bool] = {}
_hidden: list[str] = []


def _is_internal(filename: str) -> bool:
    known = _internal.get(filename)
    if known is None:
        inside = filename.startswith(_PACKAGE) and not filename.startswith(_USER_CODE_INSIDE)
        known = inside or filename.startswith(("<frozen ", *_hidden))  # imports
        _internal[filename] = known
    return known


def hide(folder: str) -> None:
    """Leave the code of a library that calls back into the package out of messages."""
    _hidden.append(folder)


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


class Call(NamedTuple):
    """A call from the user's code into the package."""

    frame: FrameType | None  # the outermost package frame below the user's code
    source: Source
    members: list[str]  # keys of the Sequential members that are running, outermost first


def user_call() -> Call:
    """Return the call from the user's code that is running."""
    frame: FrameType | None = sys._getframe(1)
    boundary = None
    members: list[str] = []
    while frame is not None and _is_internal(frame.f_code.co_filename):
        if frame.f_code.co_filename == _COMMANDS:
            return Call(None, (), members)
        if "_member" in frame.f_locals:
            members.insert(0, frame.f_locals["_member"])
        boundary, frame = frame, frame.f_back
    source: list[tuple[CodeType, int]] = []
    while frame is not None and len(source) < _MAX_FRAMES:
        if not _is_internal(frame.f_code.co_filename):
            source.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return Call(boundary, tuple(source), members)


def api_of(call: Call) -> Api | None:
    """Return the name and parameters of a call as the user wrote it, or None."""
    frame = call.frame
    if frame is None or frame.f_code.co_name == "__getattr__":
        return None
    api, code = frame.f_locals.get("_api"), frame.f_code
    if isinstance(api, Api):
        return _with_inputs(api, frame.f_locals.get("args"))
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    owner = frame.f_locals.get("self")
    if owner is None:
        return None if code.co_name[0] in "_<" else Api(f"tp.{code.co_name}", names)
    return _api_of_method(owner, code.co_name, names[1:], call.members)


def _with_inputs(api: Api, args: Any) -> Api:
    """Name the inputs of an Executable one by one, where a method takes them as a call does."""
    if "inputs" not in api.parameters or api.title.rpartition(".")[2] not in _TAKING_INPUTS:
        return api
    others = (name for name in api.parameters if name != "inputs")
    return api._replace(parameters=(*args[0]._call_parameters_(), *others))


def _api_of_method(owner: Any, name: str, names: tuple[str, ...], members: list[str]) -> Api:
    title = type(owner).__name__
    if name in _OPERATORS:
        side = "lhs" if name in _REFLECTED else "rhs"
        return Api(_OPERATORS[name], tuple(side if n == "other" else n for n in names))
    if members:  # only the first member sees the argument of the call
        is_first = len(members) == 1 and members[0] == next(iter(owner.members))
        return Api(f"{title}, member {'.'.join(members)!r}", ("input",) if is_first else ())
    if name in _TAKING_INPUTS:
        shown = title if name == "__call__" else f"{title}.{name}"
        return Api(shown, (*owner._call_parameters_(), *names))
    if name == "__setattr__":
        return Api("", names)
    return Api(title if name.startswith("__") else f"{title}.{name}", names)


_TAKING_INPUTS = ("__call__", "verify", "profile")  # by position, as a call does


def arguments_of(frame: FrameType, api: Api) -> dict[str, Any]:
    """Return the arguments of a call by parameter, as far as they have names."""
    values = frame.f_locals
    args, kwargs = values.get("args"), values.get("kwargs")
    if isinstance(args, tuple) and isinstance(kwargs, dict):
        return dict(zip(api.parameters, args[api.is_method :])) | kwargs
    if "other" in values:
        return {api.parameters[0]: values["other"]}
    return {name: values[name] for name in api.parameters if name in values}


_SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "matmul": "@", "and": "&", "or": "|", "xor": "^", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "eq": "==", "ne": "!=", "invert": "~", "neg": "-", "pos": "+",
}  # fmt: skip
_REFLECTED = {f"__r{n}__" for n in _SYMBOLS}
_OPERATORS = {f"__{prefix}{n}__": s for n, s in _SYMBOLS.items() for prefix in ("", "r")}
_OPERATORS["__getitem__"] = "indexing"


def _path_to(culprit: object, value: object, depth: int = 8) -> Path | None:
    """Return the path to an object inside nested lists, tuples and dicts."""
    if value is culprit:
        return ()
    if not depth:
        return None
    members: Iterable[tuple[Any, object]] = ()
    if isinstance(value, (list, tuple)):
        members = enumerate(value)
    elif isinstance(value, dict):
        members = value.items()
    for key, member in members:
        path = _path_to(culprit, member, depth - 1)
        if path is not None:
            return (key, *path)
    return None


def path_of(argument: ArgumentPath | None, culprit: object, call: Call, api: Api) -> Path:
    """Return where the offending object stands in the call."""
    path = argument if isinstance(argument, tuple) else () if argument is None else (argument,)
    if culprit is NOTHING or call.frame is None:
        return path
    arguments = arguments_of(call.frame, api)
    for name in path[:1] if path and path[0] in arguments else arguments:
        inner = _path_to(culprit, arguments[str(name)])
        if inner is not None:
            return (name, *inner)
    return path


# --- from a code position to a caret ---------------------------------------------------------


class _Span(NamedTuple):
    line: int
    end_line: int
    column: int  # in bytes of UTF-8, as CPython counts
    end_column: int


def _line_number(code: CodeType, last_instruction: int) -> int:
    lines = (line for start, end, line in code.co_lines() if start <= last_instruction < end)
    return next(lines, None) or code.co_firstlineno


def _instruction_span(code: CodeType, last_instruction: int) -> _Span | None:
    """Return where an instruction stands; None where Python was told to keep no columns."""
    for index, position in enumerate(code.co_positions()):
        if index == last_instruction // 2:
            line, end_line, column, end_column = position
            if line is None or end_line is None or column is None or end_column is None:
                return None
            return _Span(line, end_line, column, end_column)
    return None


@functools.lru_cache(maxsize=4)
def _parse(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _span_of(node: Any) -> _Span | None:
    if getattr(node, "end_col_offset", None) is None:
        return None
    return _Span(node.lineno, node.end_lineno, node.col_offset, node.end_col_offset)


def _stands_at(node: ast.AST, span: _Span) -> bool:
    own = _span_of(node)
    if own == span:
        return True
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or own is None:
        return False  # newer Pythons let a method call begin at the line of its name
    is_inside = (own.line, own.column) < (span.line, span.column)
    return is_inside and own[1::2] == span[1::2] and node.func.end_lineno == span.line


def _nodes_on(line: int, tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that touch a line, outer ones first."""
    stack = [tree]
    while stack:
        node: Any = stack.pop()
        last = getattr(node, "end_lineno", None)  # decorators stand before a function's first line
        if last is None or getattr(node, "decorator_list", None) or node.lineno <= line <= last:
            yield node
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def _node_at(filename: str, span: _Span) -> ast.AST | None:
    """Return the innermost call, expression or statement that an instruction belongs to."""
    tree = _parse("".join(linecache.getlines(filename)))
    found: ast.AST | None = None
    for node in _nodes_on(span.line, tree) if tree is not None else ():
        if isinstance(node, ast.Assign) and any(_span_of(t) == span for t in node.targets):
            return node
        if _stands_at(node, span):
            found = node
    return found


def _call_argument(call: ast.Call, name: str | int, api: Api) -> ast.AST | None:
    """Return an argument of a call; the whole keyword where the name is unknown."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value if name in api.parameters else keyword
    if name in api.parameters:
        name = api.parameters.index(str(name))
    if isinstance(name, str):
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        if name == "self":
            return owner if "." in api.title else call.args[0] if len(call.args) == 1 else None
        return owner if name == "input" and api.title.startswith("Tensor.") else None
    plain = [a for a in call.args[: name + 1] if not isinstance(a, ast.Starred)]
    return call.args[name] if len(plain) == name + 1 else None


def _compared(node: ast.Compare) -> dict[str, ast.AST]:
    """Return both sides as tripy sees them: it turns > around, and == with a literal first."""
    sides: list[ast.AST] = [node.left, node.comparators[0]]
    is_turned = isinstance(node.ops[0], (ast.Gt, ast.GtE))
    if isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
        is_turned = isinstance(node.left, (ast.Constant, ast.List, ast.Tuple, ast.UnaryOp))
    return dict(zip(("lhs", "rhs"), sides[::-1] if is_turned else sides))


def _parts(node: Any) -> dict[str, ast.AST]:
    """Return the operands of anything but a call."""
    match node:
        case ast.BinOp():
            return {"lhs": node.left, "rhs": node.right, "input": node.left, "other": node.right}
        case ast.AugAssign():
            return {"lhs": node.target, "rhs": node.value}
        case ast.Compare():
            return _compared(node) if len(node.ops) == 1 else {}
        case ast.Subscript():
            return {"index": node.slice, "key": node.slice}
        case ast.UnaryOp():
            return {"self": node.operand, "lhs": node.operand}
        case ast.If() | ast.IfExp() | ast.While() | ast.Assert():
            return {"self": node.test}
        case ast.For():
            return {"self": node.iter}
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            return {"self": node.generators[0].iter}
        case ast.Assign():
            return {"name": node.value, "value": node.value}
    return {}


def _element(node: ast.AST | None, path: Path) -> ast.AST | None:
    """Follow a path into a display of values, as far as the source shows it."""
    for key in path:
        members: dict[Any, ast.AST] = {}
        if isinstance(node, (ast.List, ast.Tuple)):
            members = dict(enumerate(node.elts))
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values)
            members = {k.value: v for k, v in pairs if isinstance(k, ast.Constant)}
        elif isinstance(node, ast.Call):
            members = {k.arg: k.value for k in node.keywords}
        if key not in members:
            break
        node = members[key]
    return node


def _argument_span(place: Frame, span: _Span, path: Path, api: Api) -> _Span:
    """Narrow the span of a call to one of its arguments, where that can be found."""
    code, last_instruction = place
    node = _node_at(code.co_filename, span)
    if not isinstance(node, ast.Call):
        found = _parts(node).get(str(path[0]))
    elif path[0] == "self" and not _is_call(code, last_instruction):
        return span  # newer Pythons mark what is tested or iterated over, which may be any call
    else:
        found = _call_argument(node, path[0], api)
    return _span_of(_element(found, path[1:])) or span


def _is_call(code: CodeType, last_instruction: int) -> bool:
    names = (dis.opname[code.co_code[i]] for i in range(last_instruction, -1, -2))
    return next((n for n in names if n != "CACHE"), "").startswith(("CALL", "PRECALL"))


def _gap(text: str) -> str:
    """Return white space that is as wide as a text."""
    wide = ("W", "F")
    return "".join(
        "\t" if c == "\t" else "  " if unicodedata.east_asian_width(c) in wide else " "
        for c in text
    )


def _excerpt(filename: str, span: _Span) -> list[str]:
    text = linecache.getline(filename, span.line).rstrip()
    if not text:
        return []
    line = text.encode()
    last = span.end_column if span.end_line == span.line else len(line)
    before = line[: span.column].decode(errors="replace").lstrip()
    marked = line[span.column : last].decode(errors="replace")
    number = f"{span.line:>6} | "
    margin = " " * (len(number) - 2) + "| "
    return [number + text.strip(), margin + _gap(before) + "^" * max(1, len(_gap(marked)))]


def place_of(source: Source) -> Place | None:
    """Return the line of the innermost user frame."""
    if not source or isinstance(source[0], Place):
        return source[0] if source else None  # type: ignore[return-value]
    code, last_instruction = source[0]
    line = _line_number(code, last_instruction)
    text = linecache.getline(code.co_filename, line).strip()
    return Place(code.co_filename, line, code.co_name, text)


def location(source: Source) -> str:
    """Return ``file:line, in function`` of the innermost user frame."""
    place = place_of(source)
    return "<unknown>" if place is None else f"{place.file}:{place.line}, in {place.function}"


def argument_text(source: Source, path: Path, api: Api) -> str | None:
    """Return what the user wrote for an argument, where that is short."""
    if not source or isinstance(source[0], Place):
        return None
    span = _instruction_span(*source[0])
    if span is None:
        return None
    filename = source[0][0].co_filename
    inner = _argument_span(source[0], span, path, api)
    line = linecache.getline(filename, inner.line).encode()[inner.column : inner.end_column]
    is_short = inner != span and inner.line == inner.end_line and len(line) <= 30
    return line.decode(errors="replace") if is_short else None


def show_source(source: Source, path: Path = (), api: Api | None = None) -> list[str]:
    """Return the innermost user line with a caret under the call or the named argument."""
    if not source:
        return []
    frame, arrow = source[0], f"  --> {location(source)}"
    if isinstance(frame, Place):
        return [arrow, f"{frame.line:>6} | {frame.text}"]
    span = _instruction_span(*frame)
    if span is None:
        return [arrow]
    if path and api is not None:
        span = _argument_span(frame, span, path, api)
    code = frame[0]
    return [
        f"  --> {code.co_filename}:{span.line}, in {code.co_name}",
        *_excerpt(code.co_filename, span),
    ]

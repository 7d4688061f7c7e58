"""Argument checks of public calls, driven by their annotations.

``@public`` turns wrong, missing and surplus arguments into one TripyTypeError at the user's line.
The fast path compares exact types; everything else happens only when something is unusual.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple, TypeVar

from tripy import errors
from tripy.config import config
from tripy.devices import device
from tripy.dtypes import ALL, BOOL, BY_NAME, QUANTIZED, dtype, suggestion
from tripy.errors import Api
from tripy.shapes import as_size, index_of

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Kind(NamedTuple):
    """What one annotation accepts."""

    exact: tuple[type, ...]  # types accepted without another look
    accepts: Callable[[Any], bool]
    expected: str
    fix: Callable[[Any], str | None] = lambda value: None


_NO_ORDER: Any = vars(object)["__lt__"]


def is_integer(value: Any) -> bool:
    """Whether a value counts as an int: ``__index__``, but no bool and no tensor."""
    kind: Any = type(value)
    if kind is bool or not hasattr(kind, "__index__") or kind.__lt__ is _NO_ORDER:
        return False  # what has an index but no order is no number
    shape = getattr(value, "shape", None)
    if shape is not None and not (shape == () and type(value).__module__ == "numpy"):
        return False
    return index_of(value) is not None


def _is_sequence_of(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(map(accepts, value))


_NO_FLOAT = 2**1023  # from here on ints may be beyond any float


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) < _NO_FLOAT
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return isinstance(value, float) or (kind in ("i", "u", "f") and value.shape == ())


def _is_dtype(value: Any) -> bool:
    return isinstance(value, dtype) and value in ALL


def _int_fix(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    return "take its value with int(…)" if hasattr(value, "_value") else None


def _ints_fix(value: Any) -> str | None:
    if is_integer(value):
        return f"write ({value},)"
    if isinstance(value, (list, tuple)) and value and all(map(_is_whole, value)):
        return f"write {tuple(int(v) for v in value)}"
    return None


def _float_fix(value: Any) -> str | None:
    return "take its value with float(…)" if hasattr(value, "_value") else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _is_shape(value: Any) -> bool:
    if as_size(value) is not None:
        return True
    return isinstance(value, (list, tuple)) and all(as_size(v) is not None for v in value)


def _shape_fix(value: Any) -> str:
    items = value if isinstance(value, (list, tuple)) else (value,)
    if items and all(map(_is_whole, items)):
        return f"write {tuple(int(v) for v in items)}"
    return "pass a size, or a tuple of sizes such as (2, 3)"


# Annotation -> what it accepts. tensor.py adds the rows that need the Tensor class.
KINDS: dict[str, Kind] = {
    "None": Kind((type(None),), lambda value: value is None, "None"),
    "int": Kind((int,), is_integer, "an int", _int_fix),
    "float": Kind((float,), _is_number, "a number", _float_fix),
    "bool": Kind((bool,), lambda value: isinstance(value, bool), "True or False"),
    "str": Kind((str,), lambda value: isinstance(value, str), "a string"),
    "dtype": Kind((), _is_dtype, "a tripy data type", lambda v: f"write {suggestion(v)}"),
    "device": Kind(
        (device,),
        lambda v: isinstance(v, device),
        'a device such as "cpu"',
        lambda v: 'write device="cpu"',
    ),
    "Sequence[int]": Kind((), _is_sequence_of(is_integer), "a list or tuple of ints", _ints_fix),
    "Sequence[float]": Kind((), _is_sequence_of(_is_number), "a list or tuple of numbers"),
    "Sequence[Any]": Kind((list, tuple), lambda v: isinstance(v, (list, tuple)), "a list or tuple"),
    "Callable[..., Any]": Kind((), callable, "a function"),
    "PathLike[str]": Kind((), lambda v: isinstance(v, PathLike), "a path"),
    "dict[str, Any]": Kind((dict,), lambda v: isinstance(v, dict), "a dict"),
    "Mapping[str, Any]": Kind((dict,), lambda v: isinstance(v, Mapping), "a dict"),
    "IntLike": Kind((int,), lambda v: as_size(v) is not None, "an int or a size"),
    "ShapeLike": Kind((), _is_shape, "a sequence of ints or sizes", _shape_fix),
    "Any": Kind((), lambda value: True, "anything"),
}


class _Problem(NamedTuple):
    """One thing that is wrong with a call, as a clause each of the message."""

    text: str
    received: str
    fix: str
    argument: errors.ArgumentPath | None = None
    culprit: object = errors.NOTHING

    def named_fix(self) -> str:
        return f"{self.argument}: {self.fix}" if isinstance(self.argument, str) else self.fix


class _Parameter(NamedTuple):
    name: str
    exact: frozenset[type]
    kinds: tuple[Kind, ...]
    dtypes: tuple[dtype, ...] | None

    def accepts(self, value: Any) -> bool:
        try:
            return any(kind.accepts(value) for kind in self.kinds)
        except Exception:  # the user's own object, whose attributes raise
            return False

    def problem(self, value: Any) -> _Problem:
        *most, last = (kind.expected for kind in self.kinds)
        expected = f"{', '.join(most)} or {last}" if most else last
        fixes = [fix for kind in self.kinds if (fix := kind.fix(value))]
        return _Problem(
            f"{self.name} must be {expected}",
            f"{self.name} = {errors.describe(value)}",
            fixes[0] if fixes else f"pass {expected}",
            self.name,
            next((v for v in value if self._is_wrong_member(v, value)), value)
            if isinstance(value, (list, tuple))
            else value,
        )

    def _is_wrong_member(self, member: Any, value: Any) -> bool:
        """Whether a sequence of this member alone is refused, but an empty one is not."""
        kind = type(value)
        return kind in (list, tuple) and self.accepts(kind()) and not self.accepts(kind([member]))


def _split(annotation: str) -> list[str]:
    parts = [part.strip() for part in annotation.split("|")]
    return [part.removeprefix("dtypes.").removeprefix("devices.") for part in parts]


@functools.cache  # the same parameters come again and again
def _parameter(name: str, annotation: str, dtypes: tuple[dtype, ...] | None) -> _Parameter:
    kinds = tuple(KINDS[part] for part in _split(annotation))
    exact = frozenset(t for kind in kinds for t in kind.exact)
    return _Parameter(name, exact, kinds, dtypes)


def public(
    title: str | None = None, /, **dtypes: tuple[dtype, ...]
) -> Callable[[FunctionT], FunctionT]:
    """Check the arguments of a public function, method or constructor.

    Args:
        title: name to show; None means ``tp.<function name>``.
        dtypes: accepted dtypes of tensor parameters, by parameter name.
    """

    def decorate(function: FunctionT) -> FunctionT:
        return _checked(function, title or f"tp.{function.__name__}", dtypes)

    return decorate


def _checked(function: FunctionT, title: str, dtypes: dict[str, tuple[dtype, ...]]) -> FunctionT:
    positional, arguments, keyword, others = _names_of(function)
    annotations = function.__annotations__
    names = [name for name in (*positional, *arguments, *keyword, *others) if name != "self"]
    table = {name: _parameter(name, annotations[name], dtypes.get(name)) for name in names}
    variadic = table[arguments[0]] if arguments else None
    keywords = table[others[0]] if others else None
    in_order = [table.get(name, _SELF) for name in positional]
    _api = Api(title, tuple(names), "self" in positional)
    size = len(in_order)
    checked = [p if p.kinds != (KINDS["Any"],) else None for p in in_order]

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        ok = len(args) <= size or variadic is not None
        if ok:
            for value, parameter in zip(args, checked):
                if parameter is None or type(value) in parameter.exact:
                    continue
                if not parameter.accepts(value):
                    ok = False
            for name, value in kwargs.items():
                known = table.get(name, keywords)
                if known is None or (type(value) not in known.exact and not known.accepts(value)):
                    ok = False
            for value in args[size:]:
                if variadic is not None and not variadic.accepts(value):
                    ok = False
        if not ok:
            raise _wrong_call(_api, inspect.signature(function), table, args, kwargs)
        if dtypes and config.enable_input_validation:
            _check_dtypes(table, in_order, args, kwargs, _api)
        try:
            return function(*args, **kwargs)
        except TypeError as problem:
            if problem.__traceback__ is None or problem.__traceback__.tb_next is not None:
                raise
            wrong = _wrong_call(_api, inspect.signature(function), table, args, kwargs)
            raise wrong from None

    wrapper.__tripy_api__ = _api  # type: ignore[attr-defined]
    wrapper.__tripy_dtypes__ = dtypes  # type: ignore[attr-defined]
    return wrapper  # type: ignore[return-value]


def _names_of(function: Callable[..., Any]) -> list[tuple[str, ...]]:
    """Return the names of positional, *, keyword-only and ** parameters.

    ``inspect.signature`` knows them too, but takes a tenth of the time to import the package.
    """
    code = function.__code__
    names, count = code.co_varnames, code.co_argcount
    last = count + code.co_kwonlyargcount
    has_arguments, has_others = (bool(code.co_flags & flag) for flag in _VARIADIC_FLAGS)
    arguments = names[last : last + has_arguments]
    others = names[last + has_arguments : last + has_arguments + has_others]
    return [names[:count], arguments, names[count:last], others]


_VARIADIC_FLAGS = (inspect.CO_VARARGS, inspect.CO_VARKEYWORDS)
_SELF = _Parameter("self", frozenset(), (KINDS["Any"],), None)


def _wrong_call(
    _api: Api,
    signature: inspect.Signature,
    table: dict[str, _Parameter],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> errors.TripyTypeError:
    """Return the error that lists everything that is wrong with a call."""
    given = args[1:] if "self" in signature.parameters else args
    found = [
        *_surplus(signature, table, given),
        *_unknown(signature, table, given, kwargs),
        *_missing(signature, table, given, kwargs),
        *_wrong_types(signature, table, given, kwargs),
    ]
    first = next((p for p in found if p.argument is not None), found[0])
    return errors.error(
        errors.TripyTypeError,
        "; ".join(problem.text for problem in found) + ".",
        received=", ".join(dict.fromkeys(problem.received for problem in found)),
        expected=call_text(_api.title, signature),
        fix="; ".join(p.fix if len(found) == 1 else p.named_fix() for p in found),
        argument=first.argument,
        culprit=first.culprit,
    )


def call_text(title: str, signature: inspect.Signature) -> str:
    """Return how a call is written, without annotations."""
    kept = [p for p in signature.parameters.values() if p.name != "self"]
    plain = [p.replace(annotation=p.empty) for p in kept]
    return f"{title}{signature.replace(parameters=plain, return_annotation=signature.empty)}"


def _positional(signature: inspect.Signature, table: dict[str, _Parameter]) -> list[str]:
    kinds = signature.parameters
    return [n for n in table if kinds[n].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]


def _variadic(signature: inspect.Signature) -> str | None:
    kind = inspect.Parameter.VAR_POSITIONAL
    return next((p.name for p in signature.parameters.values() if p.kind is kind), None)


def _surplus(
    signature: inspect.Signature, table: dict[str, _Parameter], args: tuple[Any, ...]
) -> list[_Problem]:
    names = _positional(signature, table)
    extra = args[len(names) :]
    if not extra or _variadic(signature):
        return []
    last = table[names[-1]] if names else None
    fix = f"remove {'it' if len(extra) == 1 else 'them'}, or pass arguments by name"
    if last is not None and last.accepts(args[len(names) - 1 :]):
        fix = f"pass one tuple: {last.name}={errors.brief(args[len(names) - 1 :])}"
    taken = "argument is" if len(names) == 1 else "arguments are"
    return [
        _Problem(
            f"at most {len(names)} positional {taken} taken, not {len(args)}",
            "the surplus " + ", ".join(errors.brief(value) for value in extra),
            fix,
            (len(names),),
        )
    ]


def _unknown(
    signature: inspect.Signature,
    table: dict[str, _Parameter],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> list[_Problem]:
    taken = _positional(signature, table)[: len(args)]
    takes_all = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    found = []
    for name, value in kwargs.items():
        shown = f"{name} = {errors.describe(value)}"
        if name not in table and not takes_all:
            fix = errors.did_you_mean(name, table) or f"remove {name}"
            found.append(_Problem(f"there is no parameter {name!r}", shown, fix, name))
        elif name in taken:
            fix = f"give {name} once"
            found.append(_Problem(f"{name} is given twice", shown, fix, name))
    return found


def _missing(
    signature: inspect.Signature,
    table: dict[str, _Parameter],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> list[_Problem]:
    positional = _positional(signature, table)
    given = {*positional[: len(args)], *kwargs}
    shown = errors.given(args, kwargs)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if name in table and name not in given
        if parameter.default is parameter.empty and parameter.kind not in variadic
    ]
    if not missing:
        return []
    names = " and ".join(map(repr, missing))
    text = f"the argument {names} is" if len(missing) == 1 else f"the arguments {names} are"
    named = [n if n in positional else f"{n}=…" for n in missing]
    return [_Problem(f"{text} missing", shown, f"add {' and '.join(named)}")]


def _wrong_types(
    signature: inspect.Signature,
    table: dict[str, _Parameter],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> list[_Problem]:
    names = _positional(signature, table)
    variadic = _variadic(signature)
    given = [*zip(names, args), *((n, v) for n, v in kwargs.items() if n in table)]
    found = [table[n].problem(v) for n, v in given if not table[n].accepts(v)]
    if variadic is None:
        return found
    parameter, rest = table[variadic], enumerate(args[len(names) :], len(names))
    wrong = [(at, value) for at, value in rest if not parameter.accepts(value)]
    return found + [parameter.problem(value)._replace(argument=(at,)) for at, value in wrong]


def _check_dtypes(
    table: dict[str, _Parameter],
    in_order: Sequence[_Parameter],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    _api: Api,
) -> None:
    for parameter, value in zip(in_order, args):
        if parameter.dtypes is not None:
            _check_dtype(parameter, value, _api)
    for name, value in kwargs.items():
        if name in table and table[name].dtypes is not None:
            _check_dtype(table[name], value, _api)


def _check_dtype(parameter: _Parameter, value: Any, _api: Api) -> None:
    kind = getattr(value, "dtype", None)
    accepted = parameter.dtypes or ()
    if kind in accepted or not isinstance(kind, dtype):
        return
    raise errors.error(
        errors.TripyTypeError,
        f"{parameter.name} cannot have the dtype {kind} here.",
        received=f"{parameter.name} of dtype {kind}",
        expected=errors.one_of(accepted),
        fix=_dtype_fix(parameter.name, kind, accepted),
        argument=parameter.name,
    )


def _dtype_fix(name: str, kind: dtype, accepted: Sequence[dtype]) -> str:
    if accepted == BOOL:
        return f"compare first: ({name} != 0), or tp.cast({name}, tp.bool)"
    if accepted == QUANTIZED:
        return f"tp.quantize({name}, scale, tp.int8) first"
    preferred = ("int32", "float32") if kind in BOOL else ("float32", "int32")
    choice = next((BY_NAME[k] for k in preferred if BY_NAME[k] in accepted), accepted[0])
    return f"tp.cast({name}, tp.{choice.name})"


class InstanceSignature:
    """The ``__signature__`` of instances; their class keeps that of its constructor."""

    def __init__(self, read: Callable[[Any], inspect.Signature]) -> None:
        self._read = read

    def __get__(self, instance: Any, owner: type) -> Any:
        return None if instance is None else self._read(instance)


# Devices come earlier in the import order, so they are checked from here.
setattr(device, "__init__", public("device")(device.__init__))  # noqa: B010

"""Argument checks of public calls, driven by their annotations.

``@public`` turns wrong, missing and surplus arguments into one TripyTypeError at the user's line.
The fast path compares exact types; everything else happens only when something is unusual.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tripy import errors
from tripy.config import config
from tripy.devices import device
from tripy.dtypes import ALL, dtype, suggestion
from tripy.errors import Api

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Kind(NamedTuple):
    """What one annotation accepts."""

    exact: tuple[type, ...]  # types accepted without another look
    accepts: Callable[[Any], bool]
    expected: str
    fix: Callable[[Any], str | None] = lambda value: None


def is_integer(value: Any) -> bool:
    """Whether a value counts as an int: ``__index__``, but no bool and no tensor."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return False
    shape = getattr(value, "shape", None)
    return shape is None or (shape == () and type(value).__module__ == "numpy")


def _is_sequence_of(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(map(accepts, value))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return isinstance(value, (int, float)) or (kind in ("i", "u", "f") and value.shape == ())


def _is_dtype(value: Any) -> bool:
    return isinstance(value, dtype) and value in ALL


# Annotation -> what it accepts. tensor.py adds the rows that need the Tensor class.
KINDS: dict[str, Kind] = {
    "None": Kind((type(None),), lambda value: value is None, "None"),
    "int": Kind((int,), is_integer, "an int"),
    "float": Kind((float, int), _is_number, "a number"),
    "bool": Kind((bool,), lambda value: isinstance(value, bool), "True or False"),
    "str": Kind((str,), lambda value: isinstance(value, str), "a string"),
    "dtype": Kind((), _is_dtype, "a tripy data type", lambda v: f"write {suggestion(v)}"),
    "device": Kind((device,), lambda v: isinstance(v, device), 'a device such as "cpu"'),
    "Sequence[int]": Kind((), _is_sequence_of(is_integer), "a list or tuple of ints"),
    "Sequence[float]": Kind((), _is_sequence_of(_is_number), "a list or tuple of numbers"),
    "Any": Kind((), lambda value: True, "anything"),
}


class _Parameter(NamedTuple):
    name: str
    exact: frozenset[type]
    kinds: tuple[Kind, ...]
    dtypes: tuple[dtype, ...] | None

    def problem(self, value: Any) -> str | None:
        if any(kind.accepts(value) for kind in self.kinds):
            return None
        fixes = [fix for kind in self.kinds if (fix := kind.fix(value))]
        hint = f" ({fixes[0]})" if fixes else ""
        expected = " or ".join(kind.expected for kind in self.kinds)
        return f"{self.name} must be {expected}, not {_describe(value)}{hint}"


def _describe(value: Any) -> str:
    text = repr(value) if not hasattr(value, "shape") else f"of shape {value.shape}"
    text = text if len(text) <= 40 else text[:37] + "…"
    return f"{type(value).__name__} {text}" if value is not None else "None"


def _split(annotation: str) -> list[str]:
    return [part.strip() for part in annotation.split("|")]


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
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.name != "self"]
    has_self = len(kept) != len(signature.parameters)
    table = {p.name: _parameter(p.name, str(p.annotation), dtypes.get(p.name)) for p in kept}
    variadic = next((table[p.name] for p in kept if p.kind is p.VAR_POSITIONAL), None)
    in_order = ([_SELF] if has_self else []) + [
        table[p.name] for p in kept if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    _api = Api(title, tuple(p.name for p in kept))
    size = len(in_order)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        ok = len(args) <= size or variadic is not None
        if ok:
            for value, parameter in zip(args, in_order):
                if type(value) not in parameter.exact and parameter.problem(value):
                    ok = False
            for name, value in kwargs.items():
                known = table.get(name)
                if known is None or (type(value) not in known.exact and known.problem(value)):
                    ok = False
            for value in args[size:]:
                if variadic is not None and variadic.problem(value):
                    ok = False
        if not ok:
            raise _problems(_api, signature, table, args, kwargs)
        if dtypes and config.enable_input_validation:
            _check_dtypes(table, in_order, args, kwargs, _api)
        try:
            return function(*args, **kwargs)
        except TypeError as problem:
            if problem.__traceback__ is None or problem.__traceback__.tb_next is not None:
                raise
            raise _problems(_api, signature, table, args, kwargs) from None

    wrapper.__tripy_api__ = _api  # type: ignore[attr-defined]
    wrapper.__tripy_dtypes__ = dtypes  # type: ignore[attr-defined]
    return wrapper  # type: ignore[return-value]


_SELF = _Parameter("self", frozenset(), (KINDS["Any"],), None)


def _problems(
    _api: Api,
    signature: inspect.Signature,
    table: dict[str, _Parameter],
    args: Sequence[Any],
    kwargs: dict[str, Any],
) -> errors.TripyTypeError:
    """List everything that is wrong with a call."""
    found: list[tuple[str | None, str]] = []
    names = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    variadic = [p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL]
    given = dict(zip(names, args))
    surplus = args[len(names) :]
    if surplus and not variadic:
        limit = len(names) - ("self" in names)
        count = len(args) - ("self" in names)
        found.append((None, f"at most {limit} positional arguments are taken, not {count}"))
    elif variadic:
        wrong = [v for v in surplus if table[variadic[0]].problem(v)]
        given[variadic[0]] = wrong[0] if wrong else (*surplus, None)[0]
    for name, value in kwargs.items():
        if name not in table:
            found.append((name, f"there is no parameter {name!r}"))
        elif name in given:
            found.append((name, f"{name} is given twice"))
        else:
            given[name] = value
    for name, parameter in table.items():
        required = signature.parameters[name].default is inspect.Parameter.empty
        if name not in given:
            if required and name not in variadic and name != "kwargs":
                found.append((None, f"the argument {name!r} is missing"))
        elif problem := parameter.problem(given[name]):
            found.append((name, problem))
    first = next((name for name, _ in found if name), None)
    shown = signature.replace(
        parameters=[
            p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name != "self"
        ],
        return_annotation=inspect.Signature.empty,
    )
    return errors.error(
        errors.TripyTypeError,
        "; ".join(text for _, text in found) + ".",
        expected=f"{_api.title}{shown}",
        argument=first,
    )


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
        if table[name].dtypes is not None:
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
        expected="one of " + ", ".join(k.name for k in accepted),
        fix=_dtype_fix(parameter.name, kind, accepted),
        argument=parameter.name,
    )


def _dtype_fix(name: str, kind: dtype, accepted: Sequence[dtype]) -> str:
    if kind.name in ("int4", "float8"):
        return f"tp.dequantize({name}, scale, tp.float32), or tp.cast({name}, tp.{accepted[0]})"
    if accepted == (BY_BOOL,):
        return f"compare with 0 first, e.g. {name} != 0, or tp.cast({name}, tp.bool)"
    choice = next((k for k in accepted if k.name in ("float32", "int32")), accepted[0])
    return f"tp.cast({name}, tp.{choice.name})"


BY_BOOL = ALL[-1]

"""Custom operations: registered once per process, then called by name."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from tripy import dtypes, errors, shapes, signature
from tripy.devices import default_device
from tripy.dtypes import dtype
from tripy.graph import Type, Value
from tripy.ops.registry import apply, create, primitive
from tripy.signature import public
from tripy.tensor import Tensor

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
ENGINES = ("xla", "openvino")
_revisions = itertools.count()


class _Setting(NamedTuple):
    """One type of attributes: how it is written, checked and converted."""

    text: str
    accepts: Callable[[Any], bool]
    convert: Callable[[Any], Any]


def _listed(text: str, accepts: Callable[[Any], bool], convert: Callable[[Any], Any]) -> _Setting:
    def all_accepted(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and all(map(accepts, value))

    return _Setting(f"list[{text}]", all_accepted, lambda value: tuple(map(convert, value)))


def _is_str(value: Any) -> bool:
    return isinstance(value, str)


def _same(value: Any) -> Any:
    return value


_is_float = signature.KINDS["float"].accepts
_SETTINGS: dict[Any, _Setting] = {
    bool: _Setting("bool", lambda value: isinstance(value, bool), bool),
    int: _Setting("int", signature.is_integer, int),
    float: _Setting("float", _is_float, float),
    str: _Setting("str", _is_str, str),
    dtype: _Setting("tp.dtype", signature.KINDS["dtype"].accepts, _same),
    list[int]: _listed("int", signature.is_integer, int),
    list[float]: _listed("float", _is_float, float),
    list[str]: _listed("str", _is_str, str),
}


class PluginInput(NamedTuple):
    """What the shape rule of a plugin sees of an input; sizes may be DimensionSize."""

    shape: tuple[Any, ...]
    rank: int
    dtype: dtype


class Plugin:
    """A registered operation; calling it calls its NumPy body.

    Attributes:
        name: ``"namespace::name"``.
        lowerings: engine name → function of that engine's arrays or nodes.
    """

    def __init__(
        self, name: str, body: Callable[..., Any], infer: Callable[..., Any], attrs: dict[str, Any]
    ) -> None:
        self.name = name
        self.body = body
        self.infer = infer
        self.attrs = attrs
        self.defaults = _defaults(body, attrs)
        self.revision = next(_revisions)
        self.lowerings: dict[str, Callable[..., Any]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the NumPy body."""
        return self.body(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<plugin {self.name}>"

    @public("lowering")
    def lowering(self, engine: str) -> Callable[[FunctionT], FunctionT]:
        """Return a decorator for the function that computes the plugin in an engine.

        Args:
            engine: ``"xla"`` (a function of JAX arrays) or ``"openvino"`` (of OpenVINO nodes).

        Raises:
            TripyValueError: for another engine.
        """
        if engine not in ENGINES:
            raise errors.error(
                errors.TripyValueError,
                f"a plugin cannot be lowered to {engine!r}.",
                received=repr(engine),
                expected=errors.one_of(map(repr, ENGINES)),
                fix=errors.did_you_mean(engine, ENGINES) or 'write "openvino"',
                argument="engine",
            )

        def add(function: FunctionT) -> FunctionT:
            self.lowerings[engine] = function
            self.revision = next(_revisions)
            return function

        return add


_plugins: dict[str, Plugin] = {}


def _defaults(body: Callable[..., Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(body).parameters
    except ValueError:  # a function written in C
        return {}
    found = {name: parameters[name].default for name in attrs if name in parameters}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in found.items()
        if value is not inspect.Parameter.empty
    }


@public()
def register_plugin(
    name: str,
    *,
    infer: Callable[..., Any],
    attrs: dict[str, Any] | None = None,
    replace: bool = False,
) -> Callable[[Callable[..., Any]], Plugin]:
    """Return a decorator that makes a NumPy function an operation of its own.

    The function gets read-only arrays and the attributes, and returns the array, or a list of
    arrays, that ``infer`` announced; they belong to tripy afterwards. It runs at most once in an
    evaluation. The decorated name is a handle: calling it calls the function, and
    ``handle.lowering(engine)`` decorates the function that an engine builds programs with.

    Args:
        name: ``"namespace::name"``.
        infer: gets the inputs, which have ``shape``, ``rank`` and ``dtype``, and the attributes;
            returns (shape, dtype), or a list of such pairs for several results.
        attrs: attribute name → ``bool``, ``int``, ``float``, ``str``, ``tp.dtype``, ``list[int]``,
            ``list[float]`` or ``list[str]``. Those without a default in the body must be given.
        replace: whether an operation of that name may be there already.

    Returns:
        The decorator.

    Raises:
        TripyTypeError: for attributes of other types.
        TripyValueError: for a name without ``::``, or one that is taken.

    Example:
        >>> @tp.register_plugin(
        ...     "docs::scaled", infer=lambda x, *, by: (x.shape, x.dtype), attrs={"by": float}
        ... )
        ... def scaled(x, *, by=2.0):
        ...     return x * np.float32(by)
        >>> tp.plugin("docs::scaled", [tp.Tensor([1.0, 2.0])], by=3.0)
        tensor([3.0000, 6.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    _check_name(name, replace)
    _check_attrs(attrs or {})

    @public("register_plugin(…)")
    def register(body: Callable[..., Any]) -> Plugin:
        _plugins[name] = Plugin(name, body, infer, dict(attrs or {}))
        return _plugins[name]

    return register


def _check_name(name: str, replace: bool) -> None:
    space, separator, own = name.partition("::")
    if not (space and separator and own):
        raise errors.error(
            errors.TripyValueError,
            "the name of a plugin has two parts.",
            received=repr(name),
            expected='"namespace::name"',
            fix=f'write, for example, "mine::{name or "name"}"',
            argument="name",
        )
    if name in _plugins and not replace:
        raise errors.error(
            errors.TripyValueError,
            f"there is a plugin {name!r} already.",
            received=repr(name),
            expected="a name that is free",
            fix="choose another name, or write replace=True",
            argument="name",
        )


def _check_attrs(attrs: Mapping[str, Any]) -> None:
    for name, kind in attrs.items():
        is_kind = any(kind is known or kind == known for known in _SETTINGS)
        if is_kind and isinstance(name, str) and name not in ("name", "inputs"):
            continue
        raise errors.error(
            errors.TripyTypeError,
            f"the attribute {name!r} cannot be declared like this.",
            received=f"{name!r}: {errors.brief(kind)}",
            expected="a name other than 'name' and 'inputs', with a type that is "
            + errors.one_of(setting.text for setting in _SETTINGS.values()),
            fix="use one of these types" if not is_kind else "choose another name",
            argument=("attrs", name),
        )


def find(name: str) -> Plugin:
    """Return a plugin; TripyKeyError if it is not registered."""
    if name not in _plugins:
        raise errors.error(
            errors.TripyKeyError,
            f"there is no plugin {name!r}.",
            received=repr(name),
            expected="the name of a registered plugin",
            fix=errors.did_you_mean(name, _plugins) or "register it first with tp.register_plugin",
            argument="name",
        )
    return _plugins[name]


def registered(name: str) -> Plugin:
    """Return a plugin that a saved graph uses; TripyUnsupportedError if it is not registered."""
    if name not in _plugins:
        raise errors.error(
            errors.TripyUnsupportedError,
            f"the saved graph uses the plugin {name!r}, which is not registered.",
            received=repr(name),
            expected="all plugins of the graph, registered before it is loaded",
            fix="import the module that registers it with tp.register_plugin first",
        )
    return _plugins[name]


@public()
def plugin(name: str, inputs: Sequence[Tensor], **attrs: Any) -> Tensor | tuple[Tensor, ...]:
    """Apply an operation that was registered with :func:`tripy.register_plugin`.

    Args:
        name: the name it was registered under.
        inputs: its tensors; may be empty.
        attrs: its attributes.

    Returns:
        A tensor, or a tuple of them if its shape rule gives a list.

    Raises:
        TripyKeyError: for a name that is not registered.
        TripyTypeError: for attributes that are unknown, missing or of the wrong type, and for a
            shape rule that returns something else than (shape, dtype) or a list of such pairs.

    Example:
        >>> @tp.register_plugin(
        ...     "docs::halves", infer=lambda x: [((x.shape[0] // 2,), x.dtype)] * 2
        ... )
        ... def halves(x):
        ...     return np.split(x, 2)
        >>> first, second = tp.plugin("docs::halves", [tp.Tensor([1, 2, 3, 4])])
        >>> second
        tensor([3, 4], dtype=int32, loc=cpu:0, shape=(2,))
    """
    record = find(name)
    settings = tuple(_settings(record, attrs).items())
    results = _inferred(record, inputs, settings)
    types = tuple(results if isinstance(results, list) else [results])
    shared = {"plugin": name, "revision": record.revision, "settings": settings, "results": types}
    made = tuple(_record(inputs, output=i, **shared) for i in range(len(types)))
    return made if isinstance(results, list) else made[0]


def _record(inputs: Sequence[Tensor], **attributes: Any) -> Tensor:
    if inputs:
        return apply("plugin", *inputs, **attributes)
    return create("plugin", default_device(), **attributes)


def keywords(settings: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the attributes as a plugin's functions take them."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in settings}


def _settings(record: Plugin, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all attributes of a call, converted and hashable."""
    known = record.attrs
    names = f"the attributes {', '.join(known)}" if known else "no attributes"
    for name, value in given.items():
        if name not in known:
            fix = errors.did_you_mean(name, known) or f"remove {name}"
            raise _wrong_attribute(record, f"has no attribute {name!r}", name, value, names, fix)
        kind = _SETTINGS[known[name]]
        if not kind.accepts(value):
            problem = f"needs another type for {name!r}"
            expected = f"a value of type {kind.text}"
            raise _wrong_attribute(record, problem, name, value, expected, f"pass {expected}")
    missing = [name for name in known if name not in given and name not in record.defaults]
    if missing:
        raise errors.error(
            errors.TripyTypeError,
            f"the plugin {record.name!r} needs the attribute {missing[0]!r}.",
            received=", ".join(given) or "no attributes",
            expected=names,
            fix=f"add {' and '.join(f'{m}=…' for m in missing)}",
        )
    converted = {name: _SETTINGS[known[name]].convert(value) for name, value in given.items()}
    return {name: converted.get(name, record.defaults.get(name)) for name in known}


def _wrong_attribute(
    record: Plugin, problem: str, name: str, value: Any, expected: str, fix: str
) -> errors.TripyTypeError:
    return errors.error(
        errors.TripyTypeError,
        f"the plugin {record.name!r} {problem}.",
        received=f"{name} = {errors.describe(value)}",
        expected=expected,
        fix=fix,
        argument=name,
    )


def _inferred(record: Plugin, inputs: Sequence[Tensor], settings: Any) -> Any:
    """Return (dtype, shape), or a list of them, of the results."""
    seen = [PluginInput(tensor.shape, tensor.rank, tensor.dtype) for tensor in inputs]
    try:
        result = record.infer(*seen, **keywords(settings))
    except Exception as problem:
        problem.add_note(f"in the shape rule of tp.plugin({record.name!r})")
        raise
    pairs = result if isinstance(result, list) else [result]
    types = [_type_of(pair) for pair in pairs]
    if not types or None in types:
        raise errors.error(
            errors.TripyTypeError,
            f"the shape rule of the plugin {record.name!r} returned something else than types.",
            received=errors.describe(result),
            expected="(shape, dtype), or a list of such pairs",
            fix="return, for example, (x.shape, x.dtype)",
        )
    return types if isinstance(result, list) else types[0]


def _type_of(pair: Any) -> Type | None:
    if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], (tuple, list))):
        return None
    sizes, kind = tuple(map(shapes.as_size, pair[0])), pair[1]
    is_valid = all(size is not None and shapes.bounds(size)[1] >= 0 for size in sizes)
    if not is_valid or not isinstance(kind, dtype) or kind not in dtypes.ALL:
        return None
    return kind, sizes  # type: ignore[return-value]


def _infer(*inputs: Value, results: tuple[Type, ...], output: int, **others: Any) -> Type:
    return results[output]


primitive("plugin", _infer)

"""``Module`` and ``Parameter``: state dicts, loading and printing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tripy import dtypes, errors, printing
from tripy.dtypes import dtype
from tripy.graph import Value, shape_text, volume
from tripy.ops.create import arange
from tripy.ops.movement import reshape
from tripy.signature import public
from tripy.tensor import Tensor, is_tensor_like, wrap


class Parameter(Tensor):
    """A tensor that is a weight; compiled programs treat it as a constant.

    Args:
        tensor: a Tensor, or anything that :class:`tripy.Tensor` accepts.

    Raises:
        TripyTypeError: for data that no tensor can be made of.

    Example:
        >>> tp.Parameter([1.0, 2.0])
        tensor([1.0000, 2.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """

    __slots__ = ()

    @public("Parameter")
    def __init__(self, tensor: Any) -> None:
        source = tensor if isinstance(tensor, Tensor) else Tensor(tensor)
        self._adopt(_mark(source._value))


def _mark(value: Value) -> Value:
    if not value.traced:
        value.parameter = True
    return value


def default_parameter(shape: tuple[int, ...], kind: dtype) -> Parameter:
    """Return a weight that holds 0, 1, 2, … in row-major order and costs nothing until used."""
    tensor = reshape(arange(int(volume(shape)), dtype=kind), shape)
    value = _mark(tensor._value)
    value.default = True
    return wrap(value, Parameter)  # type: ignore[return-value]


class StateDict(dict[str, Tensor]):
    """A dict of parameters by name that prints one entry per line."""

    def __repr__(self) -> str:
        return printing.format_state_dict({name: repr(tensor) for name, tensor in self.items()})


class Module:
    """Base class of layers and networks.

    Subclasses define ``forward``. Attributes that are Tensors are parameters and attributes that
    are Modules are children, also inside list and string-keyed dict attributes.

    Example:
        >>> class Scale(tp.Module):
        ...     def __init__(self):
        ...         self.factor = tp.Parameter([2.0, 3.0])
        ...
        ...     def forward(self, x):
        ...         return x * self.factor
        >>> Scale()(tp.Tensor([1.0, 1.0]))
        tensor([2.0000, 3.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """

    _frozen: tuple[str, ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``."""
        return self._forward()(*args, **kwargs)

    def _forward(self) -> Callable[..., Any]:
        forward = getattr(type(self), "forward", None)
        if forward is None:
            raise errors.error(
                errors.TripyTypeError,
                f"{type(self).__name__} defines no forward method.",
                fix="define forward(self, …) in the class",
            )
        return self.forward  # type: ignore[no-any-return]

    def _call_parameters_(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self).parameters)

    @property
    def __signature__(self) -> inspect.Signature:
        own = type(self).__call__
        function = self._forward() if own is Module.__call__ else own.__get__(self)
        return inspect.signature(function)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._frozen and name in self.__dict__:
            raise errors.error(
                errors.TripyAttributeError,
                f"the attribute {name!r} of {type(self).__name__} is frozen.",
                fix=f"build a new {type(self).__name__}",
            )
        current = self.__dict__.get(name)
        if isinstance(current, Tensor) and value is not None:
            value = _replacement(name, current, value)
        elif isinstance(value, Tensor):
            _mark(value._value)
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        raise errors.unknown_attribute(
            type(self).__name__, name, [*self.__dict__, *dir(type(self))]
        )

    # --- members -----------------------------------------------------------------------------

    def _members(self, kind: type) -> Iterator[tuple[str, Any, Any, Any]]:
        """Yield (name, member, container, key) of immediate members of a type."""
        for name, value in self.__dict__.items():
            if isinstance(value, kind):
                yield name, value, self, name
            elif isinstance(value, (list, dict)):
                items = value.items() if isinstance(value, dict) else enumerate(value)
                for key, item in items:
                    if isinstance(item, kind) and isinstance(key, (str, int)):
                        yield self._member_name(name, key), item, value, key

    def _member_name(self, attribute: str, key: object) -> str:
        return f"{attribute}.{key}"

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor) of the immediate parameters."""
        return ((name, value) for name, value, _, _ in self._members(Tensor))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) of the immediate children."""
        return ((name, value) for name, value, _, _ in self._members(Module))

    def _slots(self, prefix: str = "") -> Iterator[tuple[str, Tensor, Any, Any]]:
        """Yield (state-dict name, tensor, container, key) of all parameters, depth first."""
        for name, value, container, key in self._members(Tensor):
            yield prefix + name, value, container, key
        for name, child in self.named_children():
            yield from child._slots(f"{prefix}{name}.")

    def state_dict(self) -> StateDict:
        """Return the parameters of the module and its children by name.

        Returns:
            A new dict; own parameters come first, then those of children, depth first.

        Example:
            >>> tp.Linear(2, 1).state_dict()
            {
                weight: tensor([[0.0000, 1.0000]], dtype=float32, loc=cpu:0, shape=(1, 2)),
                bias: tensor([0.0000], dtype=float32, loc=cpu:0, shape=(1,)),
            }
        """
        return StateDict((name, value) for name, value, _, _ in self._slots())

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> tuple[set[str], set[str]]:
        """Put values in the place of the parameters of the same names.

        Everything is checked before anything changes.

        Args:
            state_dict: name → Tensor, or anything :class:`tripy.Tensor` accepts.
            strict: whether missing and unexpected names are errors.

        Returns:
            (missing, unexpected) as two sets of names.

        Raises:
            TripyStateDictError: for mismatched shapes or dtypes, and with ``strict`` for missing
                or unexpected names; it lists all of them, and the module is unchanged.
            TripyTypeError: for a value that no tensor can be made of.

        Example:
            >>> layer = tp.Linear(2, 1, bias=False)
            >>> layer.load_state_dict({"weight": np.ones((1, 2), np.float32)})
            (set(), set())
        """
        if not isinstance(state_dict, Mapping):
            raise errors.error(
                errors.TripyTypeError,
                "a state dict is a mapping from names to tensors.",
                received=f"{type(state_dict).__name__}",
                argument="state_dict",
            )
        slots = {name: (value, box, key) for name, value, box, key in self._slots()}
        missing, unexpected = set(slots) - set(state_dict), set(state_dict) - set(slots)
        values = {n: _as_parameter(n, state_dict[n]) for n in slots if n in state_dict}
        mismatched = [
            (name, _type_text(value), _type_text(slots[name][0]))
            for name, value in values.items()
            if _type_text(value) != _type_text(slots[name][0])
        ]
        if mismatched or (strict and (missing or unexpected)):
            raise _does_not_fit(self, missing, unexpected, mismatched, strict)
        for name, value in values.items():
            _, box, key = slots[name]
            _mark(value._value)
            if isinstance(box, Module):
                object.__setattr__(box, key, value)
            else:
                box[key] = value
        return missing, unexpected

    def __repr__(self) -> str:
        members = [("Parameter", n, _parameter_text(t)) for n, t in self.named_parameters()]
        members += [("Module", n, repr(m)) for n, m in self.named_children()]
        rows = [(name, kind, text) for kind, name, text in members]
        return printing.format_module(type(self).__name__, rows)

    __str__ = __repr__


def _parameter_text(tensor: Tensor) -> str:
    return f"(shape={shape_text(tensor._value.shape)}, dtype={tensor.dtype})"


def _type_text(tensor: Tensor) -> str:
    return f"{tensor.dtype} of shape {shape_text(tensor._value.shape)}"


def _replacement(name: str, current: Tensor, value: Any) -> Tensor:
    """Return the tensor for a parameter that is assigned; shape and dtype must stay."""
    tensor = value if isinstance(value, Tensor) else Tensor(value)
    if _type_text(tensor) == _type_text(current):
        _mark(tensor._value)
        return tensor
    same_shape = tensor._value.shape == current._value.shape
    kind = errors.TripyTypeError if same_shape else errors.TripyShapeError
    raise errors.error(
        kind,
        f"the parameter {name!r} cannot take this value.",
        received=_type_text(tensor),
        expected=_type_text(current),
        fix=f"tp.cast(value, tp.{current.dtype})" if same_shape else None,
    )


def _as_parameter(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if not is_tensor_like(value):
        raise errors.error(
            errors.TripyTypeError,
            f"the value of {name!r} is no tensor.",
            received=f"{type(value).__name__}",
            expected="a Tensor, NumPy array or other array object",
            argument="state_dict",
        )
    return Parameter(value)


def _does_not_fit(
    module: Module,
    missing: set[str],
    unexpected: set[str],
    mismatched: list[tuple[str, str, str]],
    strict: bool,
) -> errors.TripyStateDictError:
    parts = []
    if strict and missing:
        parts.append("missing: " + ", ".join(sorted(missing)))
    if strict and unexpected:
        parts.append("unexpected: " + ", ".join(sorted(unexpected)))
    parts += [f"{name} is {got}, not {wanted}" for name, got, wanted in mismatched]
    result = errors.error(
        errors.TripyStateDictError,
        f"the state dict does not fit {type(module).__name__}.",
        received="; ".join(parts),
        expected="the names, shapes and dtypes of module.state_dict()",
        fix="load with strict=False to skip missing and unexpected names"
        if strict and not mismatched
        else None,
        argument="state_dict",
    )
    result.missing, result.unexpected = sorted(missing), sorted(unexpected)
    result.mismatched = mismatched
    return result


def check_float(kind: dtype) -> None:
    """Raise TripyTypeError unless a built-in module can have this dtype."""
    if kind not in dtypes.FLOATS:
        raise errors.error(
            errors.TripyTypeError,
            f"a module cannot have the dtype {kind}.",
            expected="one of " + ", ".join(k.name for k in dtypes.FLOATS),
            argument="dtype",
        )


def check_sizes(**sizes: int) -> tuple[int, ...]:
    """Return constructor sizes as ints; each must be at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise errors.error(
                errors.TripyValueError,
                f"{name} must be at least 1.",
                received=f"{name}={size}",
                argument=name,
            )
    return tuple(int(size) for size in sizes.values())

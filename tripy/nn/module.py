"""``Module`` and ``Parameter``: state dicts, loading and printing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from typing import Any, NamedTuple

from tripy import dtypes, errors, printing
from tripy.dtypes import dtype
from tripy.graph import Value, shape_text, volume
from tripy.ops.create import arange
from tripy.ops.movement import reshape
from tripy.shapes import Shape
from tripy.signature import InstanceSignature, call_text, public
from tripy.tensor import HOOKS, Tensor, wrap


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

    def _label(self, name: str) -> None:
        """Take a name for messages, unless the user gave one."""
        if isinstance(self._name, int):
            self.name = name


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


class Accepted(NamedTuple):
    """What may take the place of a parameter.

    Attributes:
        dtype: its dtype.
        fits: whether a shape does.
        shape: the shapes that do, for messages.
        fix: how to change a value of another shape.
        kind: class of the error when a state dict has another one.
    """

    dtype: dtype
    fits: Callable[[Shape], bool]
    shape: str
    fix: str = "reshape the value, or build a module of other sizes"
    kind: type[errors.TripyStateDictError] = errors.TripyStateDictError

    def problem(self, tensor: Tensor) -> type[errors.TripyStateDictError]:
        """Return the class of the error for a tensor of a state dict that does not fit."""
        has_shape = self.fits(tensor._value.shape)
        return errors.TripyStateDictError if has_shape else self.kind

    def takes(self, tensor: Tensor) -> bool:
        """Whether a tensor may take the place."""
        return tensor.dtype is self.dtype and self.fits(tensor._value.shape)

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}"


def like(current: Tensor) -> Accepted:
    """Return that a value must have the shape and dtype of the present one."""
    shape = current._value.shape
    return Accepted(current.dtype, lambda other: other == shape, shape_text(shape))


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
    #: Parameters that may be None, and are loaded all the same.
    _optional: tuple[str, ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``."""
        forward = self._forward()
        try:
            return forward(*args, **kwargs)
        except TypeError as problem:
            if problem.__traceback__ is None or problem.__traceback__.tb_next is not None:
                raise
            raise self._wrong_arguments(args, kwargs) from None

    def _wrong_arguments(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> errors.TripyTypeError:
        signature = inspect.signature(self)
        problem = "the arguments do not fit"
        try:
            signature.bind(*args, **kwargs)
        except TypeError as mismatch:
            problem = str(mismatch)
        return errors.error(
            errors.TripyTypeError,
            f"{problem}.",
            received=errors.given(args, kwargs),
            expected=call_text(type(self).__name__, signature),
            fix="pass what the forward method takes",
        )

    def _forward(self) -> Callable[..., Any]:
        name = type(self).__name__
        if getattr(type(self), "forward", None) is None:
            raise errors.error(
                errors.TripyTypeError,
                f"{name} defines no forward method.",
                received=f"{name}()",
                expected="a module with a forward method",
                fix=f"define forward(self, …) in the class {name}",
            )
        return self.forward  # type: ignore[no-any-return]

    def _call_parameters_(self) -> tuple[str, ...]:
        has_forward = getattr(type(self), "forward", None) is not None
        is_callable = has_forward or type(self).__call__ is not Module.__call__
        return tuple(inspect.signature(self).parameters) if is_callable else ()

    @InstanceSignature
    def __signature__(self) -> inspect.Signature:
        own = type(self).__call__
        function = self._forward() if own is Module.__call__ else own.__get__(self)
        return inspect.signature(function)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._frozen and name in self.__dict__:
            raise errors.error(
                errors.TripyAttributeError,
                f"the attribute {name!r} of {type(self).__name__} is frozen.",
                received=f"{name} = {errors.describe(value)}",
                expected=f"no second assignment of {name}",
                fix=f"build a new {type(self).__name__} with that {name}",
            )
        current = self.__dict__.get(name)
        is_unset = name in self._optional and name in self.__dict__
        if value is not None and (isinstance(current, Tensor) or is_unset):
            value = self._replacement(name, current, value)
        elif isinstance(value, Tensor):
            _mark(value._value)
        if isinstance(value, Parameter):
            value._label(f"{type(self).__name__}.{name}")
        object.__setattr__(self, name, value)

    def _accepted(self, name: str, current: Tensor | None) -> Accepted:
        """Return what may take the place of a parameter."""
        assert current is not None
        return like(current)

    def _replacement(self, name: str, current: Tensor | None, value: Any) -> Tensor:
        """Return the tensor for a parameter that is assigned, if it fits."""
        tensor = value if isinstance(value, Tensor) else Tensor(value)
        wanted = self._accepted(name, current)
        if wanted.takes(tensor):
            _mark(tensor._value)
            return tensor
        has_shape = wanted.fits(tensor._value.shape)
        raise errors.error(
            errors.TripyTypeError if has_shape else errors.TripyShapeError,
            f"the parameter {name!r} cannot take this value.",
            received=_type_text(tensor),
            expected=str(wanted),
            fix=f"tp.cast(value, tp.{wanted.dtype})" if has_shape else wanted.fix,
            argument="value",
        )

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

    def _slots(self, prefix: str = "") -> Iterator[tuple[str, Tensor | None, Any, Any]]:
        """Yield (state-dict name, tensor, container, key) of all parameters, depth first.

        The tensor is None for optional ones that are not set.
        """
        for name, value, container, key in self._members(Tensor):
            yield prefix + name, value, container, key
        for name in self._optional:
            if self.__dict__.get(name, name) is None:
                yield prefix + name, None, self, name
        for name, child in self.named_children():
            yield from child._slots(f"{prefix}{name}.")

    @public("Module.state_dict")
    def state_dict(self) -> StateDict:
        """Return the parameters of the module and its children by name.

        Returns:
            A new dict; own parameters come first, then those of children, depth first.

        Example:
            >>> tp.Linear(2, 1).state_dict()
            {
                weight: tensor(
                    [[0.0000, 1.0000]],
                    dtype=float32, loc=cpu:0, shape=(1, 2)),
                bias: tensor([0.0000], dtype=float32, loc=cpu:0, shape=(1,)),
            }
        """
        slots = self._slots()
        return StateDict((name, value) for name, value, _, _ in slots if value is not None)

    @public("Module.load_state_dict")
    def load_state_dict(
        self, state_dict: Mapping[str, Any] | str | PathLike[str], strict: bool = True
    ) -> tuple[set[str], set[str]]:
        """Put values in the place of the parameters of the same names.

        Everything is checked before anything changes. Files of torch are read without torch, and
        nothing in them is executed; only tensors count, also below one key such as
        ``"state_dict"``. Files are mapped into memory, and weights are read when they are used.

        Args:
            state_dict: name → Tensor, or anything :class:`tripy.Tensor` accepts; or the path of a
                ``.safetensors`` file, or of a ``.pt``, ``.pth`` or ``.bin`` file of ``torch.save``.
            strict: whether missing and unexpected names are errors.

        Returns:
            (missing, unexpected) as two sets of names.

        Raises:
            TripyStateDictError: for mismatched shapes or dtypes, and with ``strict`` for missing
                or unexpected names; it lists all of them, and the module is unchanged.
            TripyTypeError: for a value that no tensor can be made of.
            TripyValueError: for a path with another suffix.
            TripyFileError: for a file that is damaged, foreign, or holds more than tensors.

        Example:
            >>> layer = tp.Linear(2, 1, bias=False)
            >>> layer.load_state_dict({"weight": np.ones((1, 2), np.float32)})
            (set(), set())
        """
        is_path = not isinstance(state_dict, Mapping)
        state: Any = HOOKS["read_state_dict"](state_dict) if is_path else state_dict
        slots = {name: (value, box, key) for name, value, box, key in self._slots()}
        needed = {name for name, (value, _, _) in slots.items() if value is not None}
        missing, unexpected = needed - set(state), set(state) - set(slots)
        values = {n: made_of(n, state[n], "state_dict") for n in slots if n in state}
        wanted = {name: _accepted_in(*slots[name]) for name in values}
        mismatched = [n for n, value in values.items() if not wanted[n].takes(value)]
        if mismatched or (strict and (missing or unexpected)):
            rows = [(n, _type_text(values[n]), str(wanted[n])) for n in mismatched]
            kinds = {wanted[n].problem(values[n]) for n in mismatched}
            raise _does_not_fit(self, missing, unexpected, rows, strict, kinds)
        for name, value in values.items():
            _, box, key = slots[name]
            _mark(value._value)
            if isinstance(value, Parameter) and isinstance(box, Module):
                value._label(f"{type(box).__name__}.{key}")
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


def made_of(name: str, value: Any, owner: str) -> Tensor:
    """Return a Tensor itself, or a Parameter; ``owner`` is the argument that has the value."""
    if isinstance(value, Tensor):
        return value
    try:
        return Parameter(value)
    except errors.TripyException as problem:
        raise errors.error(
            errors.TripyTypeError,
            f"no tensor can be made of the value of {name!r}.",
            received=errors.describe(value),
            expected="a Tensor, a NumPy array or another array object",
            fix=f"make sure that tp.Tensor({owner}[{name!r}]) works",
            argument=(owner, name),
        ) from problem


def _accepted_in(current: Tensor | None, box: Any, key: Any) -> Accepted:
    if isinstance(box, Module):
        return box._accepted(key, current)
    return like(box[key])


def _does_not_fit(
    module: Module,
    missing: set[str],
    unexpected: set[str],
    mismatched: list[tuple[str, str, str]],
    strict: bool,
    kinds: set[type[errors.TripyStateDictError]],
) -> errors.TripyStateDictError:
    lists = (("missing", missing), ("unexpected", unexpected)) if strict else ()
    parts = [f"{title} {', '.join(map(str, _sorted(names)))}" for title, names in lists if names]
    parts += [f"{name} of {got}" for name, got, _ in mismatched]
    wanted = [f"{name} of {expected}" for name, _, expected in mismatched]
    result = errors.error(
        next(iter(kinds - {errors.TripyStateDictError}), errors.TripyStateDictError),
        f"the state dict does not fit {type(module).__name__}.",
        received="; ".join(parts),
        expected="; ".join(wanted) or "the names of module.state_dict()",
        fix=_state_dict_fix(missing, unexpected, bool(mismatched)),
        argument=("state_dict", *(name for name, _, _ in mismatched[:1])),
    )
    result.missing, result.unexpected = _sorted(missing), _sorted(unexpected)
    result.mismatched = mismatched
    return result


def _sorted(names: set[str]) -> list[str]:
    return sorted(names, key=str)  # wrong names may be of any type


def _state_dict_fix(missing: set[str], unexpected: set[str], is_mismatched: bool) -> str:
    close = ((n, errors.did_you_mean(n, missing)) for n in _sorted(unexpected))
    fixes = [f"{name}: {hint}" for name, hint in close if hint]
    if is_mismatched:
        fixes.append("convert these values, or build the module with other sizes or another dtype")
    return "; ".join(fixes) or "add or remove these names, or skip them with strict=False"


def check_input_dtype(
    module: Module, input: Tensor, weight: Tensor, argument: str = "input"
) -> None:
    """Raise TripyTypeError unless the input has the dtype of the module."""
    if input.dtype is weight.dtype:
        return
    name = type(module).__name__
    raise errors.error(
        errors.TripyTypeError,
        f"the {argument} has the dtype {input.dtype}, but the parameters have {weight.dtype}.",
        received=errors.brief(input),
        expected=f"dtype {weight.dtype}",
        fix=f"tp.cast({argument}, tp.{weight.dtype}), or build the {name} with "
        f"dtype=tp.{input.dtype}",
        argument=argument,
    )


def check_float(kind: dtype) -> None:
    """Raise TripyTypeError unless a built-in module can have this dtype."""
    if kind not in dtypes.FLOATS:
        raise errors.error(
            errors.TripyTypeError,
            f"a module cannot have the dtype {kind}.",
            received=f"tp.{kind}",
            expected=errors.one_of(dtypes.FLOATS),
            fix="use dtype=tp.float32, and cast the result if you need another dtype",
            argument="dtype",
        )


def check_sizes(**sizes: int) -> tuple[int, ...]:
    """Return constructor sizes as ints; each must be at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise errors.error(
                errors.TripyValueError,
                f"{name} must be at least 1.",
                received=f"{name} = {size}",
                expected="an int >= 1",
                fix=f"write, for example, {name}=1",
                argument=name,
            )
    return tuple(int(size) for size in sizes.values())


def check_divides(**sizes: int) -> None:
    """Raise TripyValueError unless the first of two sizes divides the second."""
    (name, divisor), (whole, number) = sizes.items()
    if number % divisor:
        nearest = next(d for d in range(min(divisor, number), 0, -1) if number % d == 0)
        raise errors.error(
            errors.TripyValueError,
            f"{name} = {divisor} does not divide {whole} = {number}.",
            received=f"{name} = {divisor}",
            expected=f"a divisor of {number}",
            fix=f"write, for example, {name}={nearest}",
            argument=name,
        )

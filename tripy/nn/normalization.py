"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence

from tripy import dtypes, errors, shapes
from tripy.dtypes import FLOATS, dtype
from tripy.graph import Type, Value, shape_text
from tripy.host import to_float
from tripy.nn.module import (
    Module,
    check_divides,
    check_float,
    check_input_dtype,
    check_sizes,
    default_parameter,
)
from tripy.ops.elementwise import cast, in_float32
from tripy.ops.movement import reshape
from tripy.ops.reduce import mean
from tripy.ops.registry import apply, primitive, shape_error
from tripy.ops.unary import sqrt
from tripy.signature import public
from tripy.tensor import Tensor


def _normalised(
    input: Value, weight: Value, bias: Value, mean: Value, variance: Value, *, eps: float
) -> Type:
    channels = weight.shape[0]
    if len(input.shape) < 2 or (isinstance(input.shape[1], int) and input.shape[1] != channels):
        raise shape_error(
            f"dim 1 of the input must have {channels} channels.",
            input,
            expected=f"shape (N, {channels}, …)",
            fix="move the channels to dim 1 with tp.permute, or build the module with another "
            "num_features",
            argument="input",
        )
    return input.dtype, input.shape


primitive("batchnorm", _normalised)


class BatchNorm(Module):
    """Normalises channels with stored statistics (inference only; Ioffe and Szegedy, 2015).

    Computes (x - running_mean) / √(running_var + eps)·weight + bias over dim 1.

    Args:
        num_features: number of channels.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        eps: added to the variance.

    Attributes:
        weight: Parameter of shape (num_features,).
        bias: Parameter of shape (num_features,).
        running_mean: Parameter of shape (num_features,).
        running_var: Parameter of shape (num_features,).
        num_features: number of channels.
        dtype: dtype of the parameters.
        eps: added to the variance.

    Raises:
        TripyShapeError: when called with rank below 2, or another number of channels.
        TripyTypeError: for another dtype.
        TripyValueError: for num_features below 1.

    Example:
        >>> norm = tp.BatchNorm(2, eps=0.0)
        >>> norm.running_var = [1.0, 4.0]
        >>> norm(tp.ones((1, 2)))
        tensor(
            [[0.0000, 1.0000]],
            dtype=float32, loc=cpu:0, shape=(1, 2))
    """

    _frozen = ("num_features", "dtype", "eps")
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    @public("BatchNorm")
    def __init__(self, num_features: int, dtype: dtype = dtypes.float32, eps: float = 1e-5) -> None:
        (self.num_features,) = check_sizes(num_features=num_features)
        check_float(dtype)
        self.dtype = dtype
        self.eps = to_float(eps)
        for name in ("weight", "bias", "running_mean", "running_var"):
            setattr(self, name, default_parameter((self.num_features,), dtype))

    @public("BatchNorm", input=FLOATS)
    def forward(self, input: Tensor) -> Tensor:
        """Normalise an input of shape (N, num_features, …)."""
        check_input_dtype(self, input, self.weight)
        weights = (self.weight, self.bias, self.running_mean, self.running_var)
        return apply("batchnorm", input, *weights, eps=self.eps)


# --- statistics of the input -----------------------------------------------------------------
# Composites: OpenVINO fuses them into its kernel for a normalisation.


def _standardised(x: Tensor, dims: Sequence[int], eps: float) -> Tensor:
    """Return (x - mean) / √(variance + eps) over dims."""
    centred = x - mean(x, dims, keepdim=True)
    variance = mean(centred * centred, dims, keepdim=True)
    return centred / sqrt(variance + eps)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x * cast(weight, x.dtype) + cast(bias, x.dtype)


class _TrailingNorm(Module):
    """What LayerNorm and RMSNorm share: the dims that they normalise."""

    _frozen = ("normalized_shape", "dtype", "eps")
    normalized_shape: tuple[int, ...]
    weight: Tensor

    def _set_up(self, normalized_shape: int | Sequence[int], dtype: dtype, eps: float) -> None:
        given = normalized_shape
        sizes = tuple(given) if isinstance(given, Sequence) else (given,)
        if not sizes:
            raise errors.error(
                errors.TripyShapeError,
                "at least one dim must be normalised.",
                received="normalized_shape = ()",
                expected="one int per dim",
                fix="write the size of the last dim of the input",
                argument="normalized_shape",
            )
        self.normalized_shape = tuple(check_sizes(normalized_shape=size)[0] for size in sizes)
        check_float(dtype)
        self.dtype = dtype
        self.eps = to_float(eps)
        self.weight = default_parameter(self.normalized_shape, dtype)

    def _dims(self, input: Tensor) -> tuple[int, ...]:
        """Return the dims to normalise; TripyShapeError where the input does not have them."""
        check_input_dtype(self, input, self.weight)
        wanted, sizes = self.normalized_shape, input._value.shape
        rule = "the last sizes of the input are normalized_shape"
        fits = len(sizes) >= len(wanted) and all(
            shapes.holds(size, "==", want, rule)
            for size, want in zip(sizes[-len(wanted) :], wanted)
        )
        if not fits:
            raise shape_error(
                f"the last sizes of the input must be {shape_text(wanted)}.",
                input._value,
                expected=f"shape (…, {', '.join(map(str, wanted))})",
                fix=f"build the {type(self).__name__} with normalized_shape="
                f"{shape_text(sizes[-len(wanted) :])}"
                if sizes
                else "pass a tensor that has these dims",
                argument="input",
            )
        return tuple(range(-len(wanted), 0))


class LayerNorm(_TrailingNorm):
    """Normalises the last dims with their mean and variance (Ba, Kiros and Hinton, 2016).

    Computes (x - mean) / √(variance + eps)·weight + bias.

    Args:
        normalized_shape: sizes of the last dims, or the size of the last one.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        eps: added to the variance.

    Attributes:
        weight: Parameter of shape normalized_shape.
        bias: Parameter of shape normalized_shape.
        normalized_shape: tuple of sizes.
        dtype: dtype of the parameters.
        eps: added to the variance.

    Raises:
        TripyShapeError: for no dims, or when called with other last sizes.
        TripyTypeError: for another dtype.
        TripyValueError: for sizes below 1.

    Example:
        >>> norm = tp.LayerNorm(2)
        >>> norm.weight = [1.0, 1.0]
        >>> norm(tp.Tensor([[1.0, 3.0]]))
        tensor(
            [[-1.0000, 2.0000]],
            dtype=float32, loc=cpu:0, shape=(1, 2))
    """

    bias: Tensor

    @public("LayerNorm")
    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        dtype: dtype = dtypes.float32,
        eps: float = 1e-5,
    ) -> None:
        self._set_up(normalized_shape, dtype, eps)
        self.bias = default_parameter(self.normalized_shape, dtype)

    @public("LayerNorm", input=FLOATS)
    def forward(self, input: Tensor) -> Tensor:
        """Normalise an input of shape (…, *normalized_shape)."""
        dims = self._dims(input)

        def normalise(x: Tensor) -> Tensor:
            return _affine(_standardised(x, dims, self.eps), self.weight, self.bias)

        return in_float32(normalise, input)


class RMSNorm(_TrailingNorm):
    """Divides the last dims by their root mean square (Zhang and Sennrich, 2019).

    Computes x / √(mean(x²) + eps)·weight.

    Args:
        normalized_shape: sizes of the last dims, or the size of the last one.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        eps: added to the mean square.

    Attributes:
        weight: Parameter of shape normalized_shape.
        normalized_shape: tuple of sizes.
        dtype: dtype of the parameters.
        eps: added to the mean square.

    Raises:
        TripyShapeError: for no dims, or when called with other last sizes.
        TripyTypeError: for another dtype.
        TripyValueError: for sizes below 1.

    Example:
        >>> tp.RMSNorm(2, eps=0.0)(tp.Tensor([1.0, 7.0])).tolist()
        [0.0, 1.399999976158142]
    """

    @public("RMSNorm")
    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        dtype: dtype = dtypes.float32,
        eps: float = 1e-5,
    ) -> None:
        self._set_up(normalized_shape, dtype, eps)

    @public("RMSNorm", input=FLOATS)
    def forward(self, input: Tensor) -> Tensor:
        """Normalise an input of shape (…, *normalized_shape)."""
        dims = self._dims(input)

        def normalise(x: Tensor) -> Tensor:
            root = sqrt(mean(x * x, dims, keepdim=True) + self.eps)
            return x / root * cast(self.weight, x.dtype)

        return in_float32(normalise, input)


class _ChannelNorm(Module):
    """What GroupNorm and InstanceNorm share: weights per channel."""

    _frozen = ("num_groups", "num_channels", "dtype", "eps")
    num_channels: int
    weight: Tensor
    bias: Tensor

    def _set_up(self, num_channels: int, dtype: dtype, eps: float) -> None:
        (self.num_channels,) = check_sizes(num_channels=num_channels)
        check_float(dtype)
        self.dtype = dtype
        self.eps = to_float(eps)
        self.weight = default_parameter((self.num_channels,), dtype)
        self.bias = default_parameter((self.num_channels,), dtype)

    def _check(self, input: Tensor, least: int) -> None:
        check_input_dtype(self, input, self.weight)
        sizes, channels = input._value.shape, self.num_channels
        fits = len(sizes) >= least and shapes.holds(
            sizes[1], "==", channels, "dim 1 of the input is num_channels"
        )
        if not fits:
            spatial = ", D1" if least > 2 else ""
            raise shape_error(
                f"the input must have {channels} channels in dim 1, and rank {least} or more.",
                input._value,
                expected=f"shape (N, {channels}{spatial}, …)",
                fix="move the channels to dim 1 with tp.permute, or build the module with another "
                "num_channels",
                argument="input",
            )

    def _scaled(self, x: Tensor) -> Tensor:
        shape = (self.num_channels,) + (1,) * (x.rank - 2)
        return _affine(x, reshape(self.weight, shape), reshape(self.bias, shape))


class GroupNorm(_ChannelNorm):
    """Normalises groups of channels with their mean and variance (Wu and He, 2018).

    Computes (x - mean) / √(variance + eps)·weight + bias with one mean and variance per batch
    item and group, over the channels of the group and all spatial dims.

    Args:
        num_groups: number of groups of channels.
        num_channels: number of channels.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        eps: added to the variance.

    Attributes:
        weight: Parameter of shape (num_channels,).
        bias: Parameter of shape (num_channels,).
        num_groups: number of groups.
        num_channels: number of channels.
        dtype: dtype of the parameters.
        eps: added to the variance.

    Raises:
        TripyShapeError: when called with rank below 2, or another number of channels.
        TripyTypeError: for another dtype.
        TripyValueError: for sizes below 1, or groups that do not divide the channels.

    Example:
        >>> norm = tp.GroupNorm(1, 2)
        >>> norm.weight = [1.0, 1.0]
        >>> norm(tp.Tensor([[1.0, 3.0]]))
        tensor(
            [[-1.0000, 2.0000]],
            dtype=float32, loc=cpu:0, shape=(1, 2))
    """

    @public("GroupNorm")
    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        dtype: dtype = dtypes.float32,
        eps: float = 1e-5,
    ) -> None:
        (self.num_groups,) = check_sizes(num_groups=num_groups)
        self._set_up(num_channels, dtype, eps)
        check_divides(num_groups=self.num_groups, num_channels=self.num_channels)

    @public("GroupNorm", input=FLOATS)
    def forward(self, input: Tensor) -> Tensor:
        """Normalise an input of shape (N, num_channels, …)."""
        self._check(input, 2)
        shape = input._value.shape
        size = shapes.product(shape[2:]) * (self.num_channels // self.num_groups)

        def normalise(x: Tensor) -> Tensor:
            groups = apply("reshape", x, shape=(shape[0], self.num_groups, size))
            flat = _standardised(groups, (2,), self.eps)
            return self._scaled(apply("reshape", flat, shape=shape))

        return in_float32(normalise, input)


class InstanceNorm(_ChannelNorm):
    """Normalises every channel with its mean and variance (Ulyanov et al., 2016).

    Computes (x - mean) / √(variance + eps)·weight + bias with one mean and variance per batch
    item and channel, over all spatial dims.

    Args:
        num_channels: number of channels.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        eps: added to the variance.

    Attributes:
        weight: Parameter of shape (num_channels,).
        bias: Parameter of shape (num_channels,).
        num_channels: number of channels.
        dtype: dtype of the parameters.
        eps: added to the variance.

    Raises:
        TripyShapeError: when called with rank below 3, or another number of channels.
        TripyTypeError: for another dtype.
        TripyValueError: for num_channels below 1.

    Example:
        >>> norm = tp.InstanceNorm(1)
        >>> norm.weight = [1.0]
        >>> norm(tp.Tensor([[[1.0, 3.0]]])).tolist()
        [[[-0.9999949932098389, 0.9999949932098389]]]
    """

    @public("InstanceNorm")
    def __init__(self, num_channels: int, dtype: dtype = dtypes.float32, eps: float = 1e-5) -> None:
        self._set_up(num_channels, dtype, eps)

    @public("InstanceNorm", input=FLOATS)
    def forward(self, input: Tensor) -> Tensor:
        """Normalise an input of shape (N, num_channels, D1, …)."""
        self._check(input, 3)
        dims = tuple(range(2, input.rank))
        return in_float32(lambda x: self._scaled(_standardised(x, dims, self.eps)), input)

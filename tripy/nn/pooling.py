"""Pooling layers and Identity: functions with fixed arguments, as modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy.dtypes import NUMERIC
from tripy.nn.module import Module
from tripy.ops.pooling import avgpool, maxpool, window_arguments
from tripy.signature import public
from tripy.tensor import Tensor


class _Pool(Module):
    """What MaxPool and AvgPool share: the window."""

    _frozen = ("kernel_dims", "stride", "padding", "ceil_mode", "count_include_pad")

    def _set_up(self, kernel_dims: Sequence[int], stride: Any, padding: Any, name: str) -> None:
        window = window_arguments(kernel_dims, stride, padding, name)
        self.kernel_dims, self.stride, self.padding = window


class MaxPool(_Pool):
    """Applies :func:`tripy.maxpool` with fixed arguments.

    Args:
        kernel_dims: M window sizes, M from 1 to 3.
        stride: step of the window, an int or M ints; None is 1.
        padding: cells around the input in the forms of :class:`tripy.Conv`.
        ceil_mode: whether a last, partly filled window counts.

    Attributes:
        kernel_dims: tuple of M ints.
        stride: tuple of M ints.
        padding: tuple of M (before, after) pairs, or ``"same"``.
        ceil_mode: as given.

    Raises:
        TripyShapeError: for lengths that are not M, or when called with another rank.
        TripyTypeError: for arguments of another form.
        TripyValueError: for windows or strides below 1, or bad padding.

    Example:
        >>> tp.MaxPool((2,), stride=2)(tp.reshape(tp.arange(4), (1, 1, 4))).tolist()
        [[[1.0, 3.0]]]
    """

    @public("MaxPool")
    def __init__(
        self,
        kernel_dims: Sequence[int],
        stride: Any = None,
        padding: Any = None,
        ceil_mode: bool = False,
    ) -> None:
        self._set_up(kernel_dims, stride, padding, "MaxPool")
        self.ceil_mode = ceil_mode

    @public("MaxPool", input=NUMERIC)
    def forward(self, input: Tensor) -> Tensor:
        """Return the maximum of every window of an input of shape (N, C, D1 … DM)."""
        return maxpool(input, self.kernel_dims, self.stride, self.padding, self.ceil_mode)


class AvgPool(_Pool):
    """Applies :func:`tripy.avgpool` with fixed arguments.

    Args:
        kernel_dims: M window sizes, M from 1 to 3.
        stride: step of the window, an int or M ints; None is 1.
        padding: zeros around the input in the forms of :class:`tripy.Conv`.
        count_include_pad: whether padding cells count in the divisor.
        ceil_mode: whether a last, partly filled window counts.

    Attributes:
        kernel_dims: tuple of M ints.
        stride: tuple of M ints.
        padding: tuple of M (before, after) pairs, or ``"same"``.
        count_include_pad: as given.
        ceil_mode: as given.

    Raises:
        TripyShapeError: for lengths that are not M, or when called with another rank.
        TripyTypeError: for arguments of another form.
        TripyValueError: for windows or strides below 1, or bad padding.

    Example:
        >>> tp.AvgPool((2,), stride=2)(tp.reshape(tp.arange(4), (1, 1, 4))).tolist()
        [[[0.5, 2.5]]]
    """

    @public("AvgPool")
    def __init__(
        self,
        kernel_dims: Sequence[int],
        stride: Any = None,
        padding: Any = None,
        count_include_pad: bool = True,
        ceil_mode: bool = False,
    ) -> None:
        self._set_up(kernel_dims, stride, padding, "AvgPool")
        self.count_include_pad = count_include_pad
        self.ceil_mode = ceil_mode

    @public("AvgPool", input=NUMERIC)
    def forward(self, input: Tensor) -> Tensor:
        """Return the mean of every window of an input of shape (N, C, D1 … DM)."""
        window = (self.kernel_dims, self.stride, self.padding)
        return avgpool(input, *window, self.count_include_pad, self.ceil_mode)


class Identity(Module):
    """Returns its input.

    Example:
        >>> tp.Identity()(tp.Tensor([1, 2]))
        tensor([1, 2], dtype=int32, loc=cpu:0, shape=(2,))
    """

    @public("Identity")
    def forward(self, input: Tensor) -> Tensor:
        """Return the input."""
        return input

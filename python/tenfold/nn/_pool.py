"""Pooling layers."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ._module import Module


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class _AvgPool(Module):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}"


class _AdaptivePool(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class MaxPool1d(_MaxPool):
    """The maximum of every window; see :func:`tenfold.functional.max_pool1d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation
        As there; the stride is the kernel size if not given.
    return_indices : bool
        Return a tuple of the maxima and where they lie.
    ceil_mode : bool
        Round the number of outputs up.
    """

    def forward(self, input: Any) -> Any:
        return F.max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class MaxPool2d(_MaxPool):
    """The maximum of every window; see :func:`tenfold.functional.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation
        As there; the stride is the kernel size if not given.
    return_indices : bool
        Return a tuple of the maxima and where they lie.
    ceil_mode : bool
        Round the number of outputs up.
    """

    def forward(self, input: Any) -> Any:
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class MaxPool3d(_MaxPool):
    """The maximum of every window; see :func:`tenfold.functional.max_pool3d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation
        As there; the stride is the kernel size if not given.
    return_indices : bool
        Return a tuple of the maxima and where they lie.
    ceil_mode : bool
        Round the number of outputs up.
    """

    def forward(self, input: Any) -> Any:
        return F.max_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class AvgPool1d(_AvgPool):
    """The average of every window; see :func:`tenfold.functional.avg_pool1d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As there; the stride is the kernel size if not given.
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)

    def forward(self, input: Any) -> Any:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class AvgPool2d(_AvgPool):
    """The average of every window; see :func:`tenfold.functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As there; the stride is the kernel size if not given.
    """

    def forward(self, input: Any) -> Any:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool3d(_AvgPool):
    """The average of every window; see :func:`tenfold.functional.avg_pool3d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As there; the stride is the kernel size if not given.
    """

    def forward(self, input: Any) -> Any:
        return F.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AdaptiveAvgPool1d(_AdaptivePool):
    """Averages of as many windows as wanted; see :func:`tenfold.functional.adaptive_avg_pool1d`.

    Parameters
    ----------
    output_size : int, None or one per axis
        None keeps the extent of the input.
    """

    def forward(self, input: Any) -> Any:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptivePool):
    """Averages of as many windows as wanted; see :func:`tenfold.functional.adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int, None or one per axis
        None keeps the extent of the input.
    """

    def forward(self, input: Any) -> Any:
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptivePool):
    """Averages of as many windows as wanted; see :func:`tenfold.functional.adaptive_avg_pool3d`.

    Parameters
    ----------
    output_size : int, None or one per axis
        None keeps the extent of the input.
    """

    def forward(self, input: Any) -> Any:
        return F.adaptive_avg_pool3d(input, self.output_size)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of as many windows as wanted; see :func:`tenfold.functional.adaptive_max_pool1d`.

    Parameters
    ----------
    output_size : int, None or one per axis
        None keeps the extent of the input.
    return_indices : bool
        Return a tuple of the maxima and where they lie.
    """

    def forward(self, input: Any) -> Any:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of as many windows as wanted; see :func:`tenfold.functional.adaptive_max_pool2d`.

    Parameters
    ----------
    output_size : int, None or one per axis
        None keeps the extent of the input.
    return_indices : bool
        Return a tuple of the maxima and where they lie.
    """

    def forward(self, input: Any) -> Any:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of as many windows as wanted; see :func:`tenfold.functional.adaptive_max_pool3d`.

    Parameters
    ----------
    output_size : int, None or one per axis
        None keeps the extent of the input.
    return_indices : bool
        Return a tuple of the maxima and where they lie.
    """

    def forward(self, input: Any) -> Any:
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class GlobalAvgPool2d(Module):
    """The average of every channel: (N, C, H, W) becomes (N, C, 1, 1), or (N, C) with ``flatten``.

    Parameters
    ----------
    flatten : bool
        Drop the two axes of extent 1.
    """

    def __init__(self, flatten: bool = False) -> None:
        super().__init__()
        self.flatten = flatten

    def forward(self, input: Any) -> Any:
        pooled = F.adaptive_avg_pool2d(input, 1)
        return F.flatten(pooled, -3) if self.flatten else pooled

"""Convolution layers, Unfold and Fold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import functional as F
from ..functional._arguments import BORDERS, IntOrInts, Padding, integer, per_axis
from . import init
from ._module import Module
from ._parameters import empty_parameter

_PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class _Conv(Module):
    """What the six layers share: arguments, initial weights, the border."""

    _rank: int
    _transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts,
        padding: Padding,
        output_padding: IntOrInts,
        dilation: IntOrInts,
        groups: int,
        bias: bool,
        padding_mode: str,
        dtype: npt.DTypeLike,
        border: str | None,
        border_value: float,
        algorithm: str,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_channels = integer(in_channels, name, "in_channels")
        self.out_channels = integer(out_channels, name, "out_channels")
        self.groups = integer(groups, name, "groups")
        self.kernel_size = tuple(per_axis(kernel_size, self._rank, name, "kernel_size"))
        self.stride = tuple(per_axis(stride, self._rank, name, "stride"))
        self.dilation = tuple(per_axis(dilation, self._rank, name, "dilation"))
        self.output_padding = tuple(per_axis(output_padding, self._rank, name, "output_padding"))
        self.padding = padding
        self.padding_mode = padding_mode
        if padding_mode not in _PADDING_MODES:
            raise ValueError(
                f"{name}: padding_mode must be one of {', '.join(map(repr, _PADDING_MODES))} (or use border); "
                f"received {padding_mode!r}"
            )
        self.border = _PADDING_MODES[padding_mode] if border is None else border
        if self.border not in BORDERS:
            raise ValueError(
                f"{name}: border must be one of {', '.join(map(repr, BORDERS))}; received {border!r}"
            )
        self.border_value = float(border_value)
        self.algorithm = algorithm
        for argument in ("in_channels", "out_channels", "groups"):
            if getattr(self, argument) < 1:
                raise ValueError(f"{name}: {argument} must be positive; received {getattr(self, argument)}")
        for argument in ("kernel_size", "stride", "dilation"):
            if min(getattr(self, argument)) < 1:
                raise ValueError(
                    f"{name}: {argument} must be positive along every axis; received {getattr(self, argument)}"
                )
        for argument in ("in_channels", "out_channels"):
            if getattr(self, argument) % self.groups != 0:
                raise ValueError(
                    f"{name}: groups must divide {argument}; received groups {self.groups} and {argument} "
                    f"{getattr(self, argument)}"
                )
        rows, columns = self.out_channels, self.in_channels
        if self._transposed:
            rows, columns = columns, rows
        self.weight = empty_parameter(
            (rows, columns // self.groups, *self.kernel_size), dtype, name, "weight"
        )
        self.bias = empty_parameter((self.out_channels,), dtype, name, "bias") if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial weights: uniform on ±1 / sqrt(weight.shape[1] * taps), as torch.nn does."""
        bound = 1.0 / math.sqrt(math.prod(self.weight.shape[1:]))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        if self.padding != 0:
            text += f", padding={self.padding!r}"
        if any(self.output_padding):
            text += f", output_padding={self.output_padding}"
        if any(d != 1 for d in self.dilation):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.border != "constant":
            text += f", border={self.border!r}"
        return text


class _Convolution(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: Padding = 0,
        dilation: IntOrInts = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: npt.DTypeLike = np.float32,
        *,
        border: str | None = None,
        border_value: float = 0.0,
        algorithm: str = "auto",
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            padding_mode,
            dtype,
            border,
            border_value,
            algorithm,
        )

    def forward(self, input: Any) -> Any:
        return getattr(F, f"conv{self._rank}d")(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            border=self.border,
            border_value=self.border_value,
            algorithm=self.algorithm,
        )


class _Transposed(_Conv):
    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: Padding = 0,
        output_padding: IntOrInts = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrInts = 1,
        padding_mode: str = "zeros",
        dtype: npt.DTypeLike = np.float32,
        *,
        border: str | None = None,
        algorithm: str = "auto",
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            padding_mode,
            dtype,
            border,
            0.0,
            algorithm,
        )

    def forward(self, input: Any) -> Any:
        return getattr(F, f"conv_transpose{self._rank}d")(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
            border=self.border,
            algorithm=self.algorithm,
        )


class Conv1d(_Convolution):
    """Convolution of signals (N, in_channels, L); see :func:`tenfold.functional.conv1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Positive multiples of groups.
    kernel_size, stride, dilation : int or one per axis
    padding : int, one int or (before, after) pair per axis, ``"valid"`` or ``"same"``
    groups : int
    bias : bool
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        torch's names of borders.
    dtype : dtype
        float32 or float64.
    border : str, optional
        Any border of the functional form; overrides padding_mode.
    border_value : float
    algorithm : {"auto", "im2col", "direct"}

    Attributes
    ----------
    weight : Parameter of shape (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter of shape (out_channels,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import nn
    >>> nn.Conv1d(3, 5, 3)(np.ones((2, 3, 9), np.float32)).shape
    (2, 5, 7)
    """

    _rank = 1


class Conv2d(_Convolution):
    """Convolution of images (N, in_channels, H, W); see :func:`tenfold.functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Positive multiples of groups.
    kernel_size, stride, dilation : int or one per axis
    padding : int, one int or (before, after) pair per axis, ``"valid"`` or ``"same"``
    groups : int
    bias : bool
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        torch's names of borders.
    dtype : dtype
        float32 or float64.
    border : str, optional
        Any border of the functional form; overrides padding_mode.
    border_value : float
    algorithm : {"auto", "im2col", "direct", "winograd", "winograd2", "winograd4"}

    Attributes
    ----------
    weight : Parameter of shape (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter of shape (out_channels,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import nn
    >>> nn.Conv2d(3, 5, 3)(np.ones((2, 3, 9, 9), np.float32)).shape
    (2, 5, 7, 7)
    """

    _rank = 2


class Conv3d(_Convolution):
    """Convolution of volumes (N, in_channels, D, H, W); see :func:`tenfold.functional.conv3d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Positive multiples of groups.
    kernel_size, stride, dilation : int or one per axis
    padding : int, one int or (before, after) pair per axis, ``"valid"`` or ``"same"``
    groups : int
    bias : bool
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        torch's names of borders.
    dtype : dtype
        float32 or float64.
    border : str, optional
        Any border of the functional form; overrides padding_mode.
    border_value : float
    algorithm : {"auto", "im2col", "direct"}

    Attributes
    ----------
    weight : Parameter of shape (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter of shape (out_channels,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import nn
    >>> nn.Conv3d(3, 5, 3)(np.ones((2, 3, 9, 9, 9), np.float32)).shape
    (2, 5, 7, 7, 7)
    """

    _rank = 3


class ConvTranspose1d(_Transposed):
    """Transposed convolution of signals (N, in_channels, L); see :func:`tenfold.functional.conv_transpose1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Positive multiples of groups.
    kernel_size, stride : int or one per axis
    padding : int, one int or (before, after) pair per axis, or ``"valid"``
    output_padding : int or one per axis
    groups : int
    bias : bool
    dilation : int or one per axis
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        The border of the underlying convolution (torch knows "zeros" alone here).
    dtype : dtype
        float32 or float64.
    border : str, optional
        Any border of the functional form; overrides padding_mode.
    algorithm : {"auto", "im2col", "direct"}

    Attributes
    ----------
    weight : Parameter of shape (in_channels, out_channels / groups, *kernel_size)
    bias : Parameter of shape (out_channels,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import nn
    >>> nn.ConvTranspose1d(3, 5, 2, stride=2)(np.ones((2, 3, 4), np.float32)).shape
    (2, 5, 8)
    """

    _rank = 1


class ConvTranspose2d(_Transposed):
    """Transposed convolution of images (N, in_channels, H, W); see
    :func:`tenfold.functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Positive multiples of groups.
    kernel_size, stride : int or one per axis
    padding : int, one int or (before, after) pair per axis, or ``"valid"``
    output_padding : int or one per axis
    groups : int
    bias : bool
    dilation : int or one per axis
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        The border of the underlying convolution (torch knows "zeros" alone here).
    dtype : dtype
        float32 or float64.
    border : str, optional
        Any border of the functional form; overrides padding_mode.
    algorithm : {"auto", "im2col", "direct", "winograd", "winograd2", "winograd4"}

    Attributes
    ----------
    weight : Parameter of shape (in_channels, out_channels / groups, *kernel_size)
    bias : Parameter of shape (out_channels,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import nn
    >>> nn.ConvTranspose2d(3, 5, 2, stride=2)(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 5, 8, 8)
    """

    _rank = 2


class ConvTranspose3d(_Transposed):
    """Transposed convolution of volumes (N, in_channels, D, H, W); see
    :func:`tenfold.functional.conv_transpose3d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Positive multiples of groups.
    kernel_size, stride : int or one per axis
    padding : int, one int or (before, after) pair per axis, or ``"valid"``
    output_padding : int or one per axis
    groups : int
    bias : bool
    dilation : int or one per axis
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        The border of the underlying convolution (torch knows "zeros" alone here).
    dtype : dtype
        float32 or float64.
    border : str, optional
        Any border of the functional form; overrides padding_mode.
    algorithm : {"auto", "im2col", "direct"}

    Attributes
    ----------
    weight : Parameter of shape (in_channels, out_channels / groups, *kernel_size)
    bias : Parameter of shape (out_channels,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import nn
    >>> nn.ConvTranspose3d(3, 5, 2, stride=2)(np.ones((2, 3, 4, 4, 4), np.float32)).shape
    (2, 5, 8, 8, 8)
    """

    _rank = 3


class Unfold(Module):
    """Every window as a column; see :func:`tenfold.functional.unfold`.

    Parameters
    ----------
    kernel_size, dilation, padding, stride
        As in the functional form.
    border : str
    border_value : float
    """

    def __init__(
        self,
        kernel_size: IntOrInts,
        dilation: IntOrInts = 1,
        padding: Padding = 0,
        stride: IntOrInts = 1,
        *,
        border: str = "constant",
        border_value: float = 0.0,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride
        self.border = border
        self.border_value = border_value

    def forward(self, input: Any) -> Any:
        return F.unfold(
            input,
            self.kernel_size,
            self.dilation,
            self.padding,
            self.stride,
            border=self.border,
            border_value=self.border_value,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """The transpose of Unfold; see :func:`tenfold.functional.fold`.

    Parameters
    ----------
    output_size, kernel_size, dilation, padding, stride
        As in the functional form.
    border : str
    """

    def __init__(
        self,
        output_size: IntOrInts,
        kernel_size: IntOrInts,
        dilation: IntOrInts = 1,
        padding: Padding = 0,
        stride: IntOrInts = 1,
        *,
        border: str = "constant",
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride
        self.border = border

    def forward(self, input: Any) -> Any:
        return F.fold(
            input,
            self.output_size,
            self.kernel_size,
            self.dilation,
            self.padding,
            self.stride,
            border=self.border,
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )

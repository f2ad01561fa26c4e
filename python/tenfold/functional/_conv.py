"""Convolution, transposed convolution, unfold and fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from ..graph import Array, Symbol, Variable, apply
from ._arguments import (
    IntOrInts,
    Padding,
    Tensor,
    core_border,
    integer,
    integers,
    number,
    pads,
    per_axis,
    remembered,
    tensor,
)

_LETTERS = {1: "L", 2: "H, W", 3: "D, H, W"}


def _spatial(shape: tuple[int, ...], rank: int, function: str) -> list[int]:
    if len(shape) not in (rank + 1, rank + 2):
        letters = _LETTERS[rank]
        raise ValueError(
            f"{function}: input must have shape (N, C, {letters}) or (C, {letters}); received shape {tuple(shape)}"
        )
    return [int(n) for n in shape[-rank:]]


def _kernel(shape: tuple[int, ...], rank: int, function: str) -> list[int]:
    if len(shape) != rank + 2:
        raise ValueError(f"{function}: weight must have {rank + 2} axes; received shape {tuple(shape)}")
    return [int(n) for n in shape[-rank:]]


def _inputs(input: Any, weight: Any, bias: Any, function: str) -> list[Tensor]:
    inputs = [tensor(input, function, "input"), tensor(weight, function, "weight")]
    if bias is not None:
        inputs.append(tensor(bias, function, "bias"))
    return inputs


def _name(value: Any, function: str, argument: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{function}: {argument} must be a str; received {value!r}")
    return value


def _conv(
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: IntOrInts,
    padding: Padding,
    dilation: IntOrInts,
    groups: int,
    border: str,
    border_value: float,
    algorithm: str,
    function: str = "",
) -> Tensor:
    function = function or f"conv{rank}d"
    inputs = _inputs(input, weight, bias, function)
    fill = number(border_value, function, "border_value")
    settings = stride, padding, dilation, groups, border, algorithm, fill
    attributes = _conv_attributes((inputs[0].shape, inputs[1].shape), function, rank, *settings)
    return cast(Tensor, apply("conv", inputs, attributes)[0])


@remembered
def _conv_attributes(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    function: str,
    rank: int,
    stride: IntOrInts,
    padding: Padding,
    dilation: IntOrInts,
    groups: int,
    border: str,
    algorithm: str,
    border_value: float,
) -> Mapping[str, Any]:
    size = _spatial(shapes[0], rank, function)
    kernel = _kernel(shapes[1], rank, function)
    steps = per_axis(stride, rank, function, "stride")
    spread = per_axis(dilation, rank, function, "dilation")
    return {
        "function": function,
        "stride": steps,
        "dilation": spread,
        "pads": pads(padding, size, kernel, steps, spread, border, function),
        "border": core_border(border),
        "groups": integer(groups, function, "groups"),
        "algorithm": _name(algorithm, function, "algorithm"),
        "border_value": border_value,
    }


@remembered
def _conv_transpose_attributes(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    rank: int,
    stride: IntOrInts,
    padding: Padding,
    output_padding: IntOrInts,
    groups: int,
    dilation: IntOrInts,
    border: str,
    algorithm: str,
) -> Mapping[str, Any]:
    function = f"conv_transpose{rank}d"
    size = _spatial(shapes[0], rank, function)
    kernel = _kernel(shapes[1], rank, function)
    steps = per_axis(stride, rank, function, "stride")
    spread = per_axis(dilation, rank, function, "dilation")
    if padding == "same":
        raise ValueError(
            f"{function}: padding must be an int, one int or (before, after) pair per axis, or 'valid'; "
            "received 'same', which leaves the output's size open"
        )
    return {
        "function": function,
        "stride": steps,
        "dilation": spread,
        "pads": pads(padding, size, kernel, steps, spread, border, function),
        "output_padding": per_axis(output_padding, rank, function, "output_padding"),
        "border": core_border(border),
        "groups": integer(groups, function, "groups"),
        "algorithm": _name(algorithm, function, "algorithm"),
    }


def _conv_transpose(rank: int, input: Any, weight: Any, bias: Any, *settings: Any) -> Tensor:
    inputs = _inputs(input, weight, bias, f"conv_transpose{rank}d")
    attributes = _conv_transpose_attributes((inputs[0].shape, inputs[1].shape), rank, *settings)
    return cast(Tensor, apply("conv_transpose", inputs, attributes)[0])


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
    *,
    border: str = "constant",
    border_value: float = 0.0,
    algorithm: str = "auto",
) -> Tensor:
    """Convolve signals; :func:`conv2d` with one axis.

    Parameters
    ----------
    input : ndarray of shape (N, C, L) or (C, L), float32 or float64
    weight : ndarray of shape (F, C / groups, K)
    bias : ndarray of shape (F,), optional
    stride, padding, dilation, groups, border, border_value, algorithm
        As in :func:`conv2d`.

    Returns
    -------
    ndarray of shape (N, F, OL) or (F, OL)
        OL = floor((L + padding before + after - dilation * (K - 1) - 1) / stride) + 1.

    Raises
    ------
    ValueError, TypeError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.conv1d(np.array([[1.0, 2.0, 4.0, 7.0]]), np.array([[[-1.0, 1.0]]]))
    array([[1., 2., 3.]])
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups, border, border_value, algorithm)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
    *,
    border: str = "constant",
    border_value: float = 0.0,
    algorithm: str = "auto",
) -> Tensor:
    r"""Convolve images with filters (cross-correlation: the filters are not flipped).

    .. math::
        y[n, f, o] = b[f] + \sum_{c, k} w[f, c, k] \; x[n, c, o \cdot stride + k \cdot dilation - pad]

    Parameters
    ----------
    input : ndarray of shape (N, C, H, W) or (C, H, W), float32 or float64
    weight : ndarray of shape (F, C / groups, KH, KW)
        Of the input's dtype, as is the bias.
    bias : ndarray of shape (F,), optional
    stride, dilation : int or one per axis
        At least 1.
    padding : int, one int or (before, after) pair per axis, ``"valid"`` or ``"same"``
        How far the border reaches out. ``"same"`` gives ceil(H / stride) outputs at any stride, the odd
        element behind.
    groups : int
        Divides C and F; filters of group g see the channels of group g.
    border : {"constant", "reflect", "symmetric", "replicate", "circular", "valid"}
        What lies in the padding: ``border_value``; the image mirrored without its edge, or with it; the edge
        going on; the image again. ``"valid"`` ignores the padding.
    border_value : float
        Outside the image when ``border="constant"``.
    algorithm : {"auto", "im2col", "direct", "winograd", "winograd2", "winograd4"}
        Packed columns, shifted loads, or Winograd's form, which multiplies less: for 3x3 and 5x5 kernels with
        stride 1, and for 3x3 and 4x4 kernels with stride 2 and an odd, constant padding; dilation 1, one group.
        With stride 1 its tiles are of 2x2 or 4x4 outputs (``"winograd"``: whichever suits the shape).
        ``"auto"`` chooses by the shapes, and takes images under dilated kernels apart so that it suits. Results
        differ in rounding, and near NaN and infinities: Winograd's form spreads these over whole tiles
        (docs/numerics.md).

    Returns
    -------
    ndarray of shape (N, F, OH, OW) or (F, OH, OW)
        OH = floor((H + padding before + after - dilation * (KH - 1) - 1) / stride) + 1, OW likewise.

    Raises
    ------
    ValueError
        If a rank or channel count does not fit, groups does not divide, stride, dilation or kernel is not
        positive, the kernel does not fit the padded input, a reflected padding is not smaller than the image,
        a size overflows, or the algorithm is unknown or does not fit.
    TypeError
        If an array is not float32 or float64, the dtypes differ, or an argument is of another type.

    References
    ----------
    K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document
    processing" (2006), for im2col.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> image = np.arange(9.0).reshape(1, 3, 3)
    >>> F.conv2d(image, np.ones((1, 1, 2, 2)))
    array([[[ 8., 12.],
            [20., 24.]]])
    >>> F.conv2d(image, np.ones((1, 1, 3, 3)), padding=1, border="circular")[0, 0]
    array([36., 36., 36.])
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups, border, border_value, algorithm)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
    *,
    border: str = "constant",
    border_value: float = 0.0,
    algorithm: str = "auto",
) -> Tensor:
    """Convolve volumes; :func:`conv2d` with three axes.

    Parameters
    ----------
    input : ndarray of shape (N, C, D, H, W) or (C, D, H, W), float32 or float64
    weight : ndarray of shape (F, C / groups, KD, KH, KW)
    bias : ndarray of shape (F,), optional
    stride, padding, dilation, groups, border, border_value, algorithm
        As in :func:`conv2d`.

    Returns
    -------
    ndarray of shape (N, F, OD, OH, OW) or (F, OD, OH, OW)
        OD = floor((D + padding before + after - dilation * (KD - 1) - 1) / stride) + 1, OH and OW likewise.

    Raises
    ------
    ValueError, TypeError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.conv3d(np.ones((1, 2, 2, 2)), np.ones((1, 1, 2, 2, 2))).item()
    8.0
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups, border, border_value, algorithm)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
    *,
    border: str = "constant",
    algorithm: str = "auto",
) -> Tensor:
    """Apply the transpose of a convolution of signals; :func:`conv_transpose2d` with one axis.

    Parameters
    ----------
    input : ndarray of shape (N, C, L) or (C, L), float32 or float64
    weight : ndarray of shape (C, F / groups, K)
    bias : ndarray of shape (F,), optional
    stride, padding, output_padding, groups, dilation, border, algorithm
        As in :func:`conv_transpose2d`.

    Returns
    -------
    ndarray of shape (N, F, OL) or (F, OL)
        OL = (L - 1) * stride - padding before - after + dilation * (K - 1) + output_padding + 1.

    Raises
    ------
    ValueError, TypeError
        As in :func:`conv_transpose2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.conv_transpose1d(np.array([[1.0, 2.0]]), np.array([[[1.0, 1.0, 1.0]]]), stride=2)
    array([[1., 1., 3., 2., 2.]])
    """
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation, border, algorithm
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
    *,
    border: str = "constant",
    algorithm: str = "auto",
) -> Tensor:
    r"""Apply the transpose of a convolution: every input pixel puts down a copy of the filter; copies add up.

    .. math::
        y[n, f, o \cdot stride + k \cdot dilation - pad] \mathrel{+}= \sum_c w[c, f, k] \; x[n, c, o]

    The map is the transpose of :func:`conv2d` with the same stride, padding, dilation, groups and border on
    an image of the output's size; a copy that reaches into the padding lands where the border takes its
    values from (with the constant border: nowhere).

    Parameters
    ----------
    input : ndarray of shape (N, C, H, W) or (C, H, W), float32 or float64
    weight : ndarray of shape (C, F / groups, KH, KW)
    bias : ndarray of shape (F,), optional
    stride, dilation : int or one per axis
        At least 1.
    padding : int, one int or (before, after) pair per axis, or ``"valid"``
        Of the underlying convolution: the output shrinks by it.
    output_padding : int or one per axis
        Rows and columns added behind, smaller than stride or dilation: a convolution of stride 2 maps several
        sizes to one, this says which of them is meant.
    groups : int
        Divides C and F.
    border : {"constant", "reflect", "symmetric", "replicate", "circular", "valid"}
        Of the underlying convolution.
    algorithm : {"auto", "im2col", "direct", "winograd", "winograd2", "winograd4"}
        As in :func:`conv2d`.

    Returns
    -------
    ndarray of shape (N, F, OH, OW) or (F, OH, OW)
        OH = (H - 1) * stride - padding before - after + dilation * (KH - 1) + output_padding + 1, OW
        likewise.

    Raises
    ------
    ValueError
        If a rank or channel count does not fit, groups does not divide, stride, dilation or kernel is not
        positive, output_padding is too large, nothing is left of the output, a reflected padding is not
        smaller than the output, or a size overflows.
    TypeError
        If an array is not float32 or float64, the dtypes differ, or an argument is of another type.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning" (arXiv:1603.07285).

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.conv_transpose2d(np.array([[[4.0, 3.0], [2.0, 0.0]]]), np.ones((1, 1, 2, 2)))[0]
    array([[4., 7., 3.],
           [6., 9., 3.],
           [2., 2., 0.]])
    """
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation, border, algorithm
    )


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
    *,
    border: str = "constant",
    algorithm: str = "auto",
) -> Tensor:
    """Apply the transpose of a convolution of volumes; :func:`conv_transpose2d` with three axes.

    Parameters
    ----------
    input : ndarray of shape (N, C, D, H, W) or (C, D, H, W), float32 or float64
    weight : ndarray of shape (C, F / groups, KD, KH, KW)
    bias : ndarray of shape (F,), optional
    stride, padding, output_padding, groups, dilation, border, algorithm
        As in :func:`conv_transpose2d`.

    Returns
    -------
    ndarray of shape (N, F, OD, OH, OW) or (F, OD, OH, OW)
        OD = (D - 1) * stride - padding before - after + dilation * (KD - 1) + output_padding + 1, OH and OW
        likewise.

    Raises
    ------
    ValueError, TypeError
        As in :func:`conv_transpose2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.conv_transpose3d(np.ones((1, 1, 1, 1)), np.ones((1, 2, 2, 2, 2))).shape
    (2, 2, 2, 2)
    """
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation, border, algorithm
    )


def unfold(
    input: Tensor,
    kernel_size: IntOrInts,
    dilation: IntOrInts = 1,
    padding: Padding = 0,
    stride: IntOrInts = 1,
    *,
    border: str = "constant",
    border_value: float = 0.0,
) -> Tensor:
    r"""Lay every window of an image out as a column (im2col).

    .. math:: y[n, c \cdot K + k, o] = x[n, c, o \cdot stride + k \cdot dilation - pad]

    A convolution is a product with it: ``conv2d(x, w) == w.reshape(F, -1) @ unfold(x, kernel_size)``.

    Parameters
    ----------
    input : ndarray of shape (N, C, L), (N, C, H, W) or (N, C, D, H, W), float32 or float64
        Without N when ``kernel_size`` tells the rank by having one entry per axis.
    kernel_size, dilation, stride : int or one per axis
        At least 1.
    padding, border, border_value
        As in :func:`conv2d`.

    Returns
    -------
    ndarray of shape (N, C * K, O)
        K = product of kernel_size, O = product of the output sizes of :func:`conv2d`.

    Raises
    ------
    ValueError
        If the rank does not fit, an entry is not positive, the kernel does not fit the padded input, or a
        reflected padding is not smaller than the image.
    TypeError
        If the input is not float32 or float64, or an argument is of another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.unfold(np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]), (2, 2))
    array([[[1., 2.],
            [2., 3.],
            [4., 5.],
            [5., 6.]]])
    """
    x = tensor(input, "unfold", "input")
    if isinstance(kernel_size, (int, np.integer)):
        rank = x.ndim - 2
    else:
        entries = len(integers(kernel_size, "unfold", "kernel_size"))
        rank = entries if entries > 1 else x.ndim - 2
    if rank not in (1, 2, 3):
        raise ValueError(
            f"unfold: input must have shape (N, C, L), (N, C, H, W) or (N, C, D, H, W); received shape {tuple(x.shape)}"
        )
    size = _spatial(x.shape, rank, "unfold")
    kernel = per_axis(kernel_size, rank, "unfold", "kernel_size")
    steps = per_axis(stride, rank, "unfold", "stride")
    spread = per_axis(dilation, rank, "unfold", "dilation")
    attributes = {
        "function": "unfold",
        "kernel": kernel,
        "stride": steps,
        "dilation": spread,
        "pads": pads(padding, size, kernel, steps, spread, border, "unfold"),
        "border": core_border(border),
        "border_value": number(border_value, "unfold", "border_value"),
    }
    return cast(Tensor, apply("unfold", [x], attributes)[0])


def fold(
    input: Tensor,
    output_size: IntOrInts,
    kernel_size: IntOrInts,
    dilation: IntOrInts = 1,
    padding: Padding = 0,
    stride: IntOrInts = 1,
    *,
    border: str = "constant",
) -> Tensor:
    """Add columns up where :func:`unfold` would have taken them from (col2im): the transpose of unfold.

    Parameters
    ----------
    input : ndarray of shape (N, C * K, O) or (C * K, O), float32 or float64
        K = product of kernel_size, O = number of windows of an image of ``output_size``.
    output_size : int (1-D) or one per axis
        The image's size; an int together with an int kernel_size means a square image, as in PyTorch.
    kernel_size, dilation, stride : int or one per axis
        At least 1.
    padding, border
        As in :func:`conv2d`; a column's entry that lies in the padding is added where the border takes it
        from (with the constant border it is dropped).

    Returns
    -------
    ndarray of shape (N, C, *output_size) or (C, *output_size)

    Raises
    ------
    ValueError
        If the input's rows or columns do not fit the geometry, or as in :func:`unfold`.
    TypeError
        If the input is not float32 or float64, or an argument is of another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.fold(np.ones((1, 4, 2)), (2, 3), (2, 2))
    array([[[[1., 2., 1.],
             [1., 2., 1.]]]])
    """
    x = tensor(input, "fold", "input")
    rank = (
        2 if isinstance(output_size, (int, np.integer)) else len(integers(output_size, "fold", "output_size"))
    )
    if rank not in (1, 2, 3):
        raise ValueError(f"fold: output_size must have 1 to 3 entries; received {output_size!r}")
    size = per_axis(output_size, rank, "fold", "output_size")
    kernel = per_axis(kernel_size, rank, "fold", "kernel_size")
    steps = per_axis(stride, rank, "fold", "stride")
    spread = per_axis(dilation, rank, "fold", "dilation")
    attributes = {
        "function": "fold",
        "output_size": size,
        "kernel": kernel,
        "stride": steps,
        "dilation": spread,
        "pads": pads(padding, size, kernel, steps, spread, border, "fold"),
        "border": core_border(border),
    }
    return cast(Tensor, apply("fold", [x], attributes)[0])


def conv_matrix(
    weight: Array | Variable,
    shape: tuple[int, ...],
    stride: IntOrInts = 1,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
    border: str = "constant",
) -> Array:
    """Return the matrix M of a convolution: ``M @ x.ravel()`` is ``conv(x).ravel()`` for one sample.

    ``M.T`` is the transposed convolution. M is dense, so this is for small images: to look at, and to test
    with.

    Parameters
    ----------
    weight : ndarray of shape (F, C / groups, *K), or (*K) for one filter on one channel
        float32 or float64. ``shape`` tells how many axes K has.
    shape : tuple
        Of the sample: (C, L), (C, H, W) or (C, D, H, W); with a weight (*K), also (L,), (H, W) or (D, H, W).
    stride, padding, dilation, groups, border
        As in :func:`conv2d`.

    Returns
    -------
    ndarray of shape (F * OH * OW, C * H * W)

    Raises
    ------
    ValueError, TypeError
        If weight and shape do not fit each other, and as in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.conv_matrix(np.array([1.0, 2.0]), (3,))
    array([[1., 2., 0.],
           [0., 1., 2.]])
    """
    if isinstance(weight, Symbol):
        raise TypeError("conv_matrix: weight must be an array; received a Symbol")
    w = np.asarray(tensor(weight, "conv_matrix", "weight"))
    sample = tuple(integers(shape, "conv_matrix", "shape"))
    if any(n < 1 for n in sample):
        raise ValueError(f"conv_matrix: shape must be positive along every axis; received {shape!r}")
    if w.ndim == len(sample) + 1 and w.ndim >= 3:
        size = sample
    elif w.ndim == len(sample) and w.ndim <= 3:
        w, size = w[None, None], (1, *sample)
    elif w.ndim == len(sample) - 1 and sample[0] == 1:
        w, size = w[None, None], sample
    elif w.ndim == len(sample) + 2:
        size = (1, *sample)
    else:
        raise ValueError(
            "conv_matrix: shape must be (C, *size) for a weight (F, C / groups, *kernel), or (*size) for a weight "
            f"(*kernel); received shape {shape!r} and weight {w.shape}"
        )
    rank = len(size) - 1
    if rank not in (1, 2, 3):
        raise ValueError(f"conv_matrix: shape must have 1 to 3 spatial axes; received {shape!r}")
    channels = w.shape[1] * integer(groups, "conv_matrix", "groups")
    if size[0] != channels and channels > 0:
        raise ValueError(
            f"conv_matrix: shape must have the weight's {channels} channels; received shape {sample}, groups {groups} "
            f"and weight {w.shape}"
        )
    # Column i of a linear map's matrix is the image of unit vector i.
    count = int(np.prod(size))
    units = np.eye(count, dtype=w.dtype).reshape(count, *size)
    images = _conv(
        rank, units, w, None, stride, padding, dilation, groups, border, 0.0, "auto", "conv_matrix"
    )
    return np.ascontiguousarray(np.asarray(images).reshape(count, -1).T)

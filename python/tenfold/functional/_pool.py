"""Pooling: the maximum or the average of every window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..graph import apply
from ._arguments import IntOrInts, Padding, Tensor, integer, pads, per_axis, remembered, tensor

_FORMS = ("(N, C, L) or (C, L)", "(N, C, H, W) or (C, H, W)", "(N, C, D, H, W) or (C, D, H, W)")


def _spatial(shape: tuple[int, ...], rank: int, function: str) -> tuple[int, ...]:
    """Return the spatial extents; a sample without the batch axis is legal too."""
    if len(shape) not in (rank + 1, rank + 2):
        raise ValueError(f"{function}: input must have the shape {_FORMS[rank - 1]}; received {shape}")
    return shape[-rank:]


def _flag(value: Any, function: str, argument: str) -> bool:
    if value not in (True, False):
        raise TypeError(f"{function}: {argument} must be True or False; received {value!r}")
    return bool(value)


@remembered
def _max_pool_attributes(
    shapes: tuple[tuple[int, ...]],
    rank: int,
    kernel_size: IntOrInts,
    stride: IntOrInts | None,
    padding: Padding,
    dilation: IntOrInts,
    ceil_mode: bool,
    return_indices: bool,
) -> Mapping[str, Any]:
    function = f"max_pool{rank}d"
    size = _spatial(shapes[0], rank, function)
    kernel = per_axis(kernel_size, rank, function, "kernel_size")
    step = kernel if stride is None else per_axis(stride, rank, function, "stride")
    spread = per_axis(dilation, rank, function, "dilation")
    return {
        "function": function,
        "kernel": kernel,
        "stride": step,
        "dilation": spread,
        "pads": pads(padding, size, kernel, step, spread, "constant", function),
        "ceil_mode": _flag(ceil_mode, function, "ceil_mode"),
        "return_indices": _flag(return_indices, function, "return_indices"),
    }


def _max_pool(rank: int, input: Tensor, *settings: Any) -> Any:
    input = tensor(input, f"max_pool{rank}d", "input")
    attributes = _max_pool_attributes((input.shape,), rank, *settings)
    outputs = apply("max_pool", [input], attributes)
    return outputs if attributes["return_indices"] else outputs[0]


@remembered
def _avg_pool_attributes(
    shapes: tuple[tuple[int, ...]],
    rank: int,
    kernel_size: IntOrInts,
    stride: IntOrInts | None,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Mapping[str, Any]:
    function = f"avg_pool{rank}d"
    size = _spatial(shapes[0], rank, function)
    kernel = per_axis(kernel_size, rank, function, "kernel_size")
    step = kernel if stride is None else per_axis(stride, rank, function, "stride")
    attributes: dict[str, Any] = {
        "function": function,
        "kernel": kernel,
        "stride": step,
        "pads": pads(padding, size, kernel, step, [1] * rank, "constant", function),
        "ceil_mode": _flag(ceil_mode, function, "ceil_mode"),
        "count_include_pad": _flag(count_include_pad, function, "count_include_pad"),
    }
    if divisor_override is not None:
        attributes["divisor_override"] = integer(divisor_override, function, "divisor_override")
    return attributes


def _avg_pool(rank: int, input: Tensor, *settings: Any) -> Any:
    input = tensor(input, f"avg_pool{rank}d", "input")
    return apply("avg_pool", [input], _avg_pool_attributes((input.shape,), rank, *settings))[0]


def _output_size(value: Any, size: Sequence[int], function: str) -> list[int]:
    """Return one extent per axis; None keeps the input's."""
    rank = len(size)
    values = [value] * rank if value is None or not isinstance(value, Sequence) else list(value)
    if len(values) == 1:
        values = values * rank
    if len(values) != rank:
        raise ValueError(
            f"{function}: output_size must be an int or {rank} ints, one per axis (None keeps the input's); "
            f"received {value!r}"
        )
    return [n if v is None else integer(v, function, "output_size") for v, n in zip(values, size)]


def _adaptive_pool(rank: int, kind: str, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    function = f"adaptive_{kind}_pool{rank}d"
    input = tensor(input, function, "input")
    size = _spatial(input.shape, rank, function)
    attributes: dict[str, Any] = {
        "function": function,
        "output_size": _output_size(output_size, size, function),
    }
    if kind == "max":
        attributes["return_indices"] = _flag(return_indices, function, "return_indices")
    outputs = apply(f"adaptive_{kind}_pool", [input], attributes)
    return outputs if return_indices else outputs[0]


def max_pool1d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    r"""Return the maximum of every window of an input with 1 spatial axis.

    .. math:: O = \lfloor (n + p_- + p_+ - d (k - 1) - 1) / s \rfloor + 1

    along every axis, rounded up with `ceil_mode` as long as the last window starts inside the input
    or the padding before it. The first maximum wins a tie. NaN is the maximum, the
    first of several. Padding never wins: a window that holds nothing else gives -inf,
    the index -1 and no gradient.

    Parameters
    ----------
    input : ndarray of shape (N, C, L) or (C, L), float32 or float64
    kernel_size : int
    stride : int, optional
        The kernel size if not given.
    padding : int, one int or (before, after) pair per axis, "same" or "valid"
        Of any size. ``"same"`` gives ceil(n / stride) outputs.
    dilation : int
        Distance between the elements of a window.
    ceil_mode : bool
        Round the number of outputs up.
    return_indices : bool
        Also return where the maxima lie.

    Returns
    -------
    ndarray of shape (N, C, OL)
        With `return_indices` a tuple of it and the int64 indices of the maxima in the flattened channel.

    Raises
    ------
    ValueError
        If the input has another rank, kernel, stride or dilation is not positive, padding is negative, or
        the window does not fit the padded input.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.max_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[3., 2.]]])
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    r"""Return the maximum of every window of an input with 2 spatial axes.

    .. math:: O = \lfloor (n + p_- + p_+ - d (k - 1) - 1) / s \rfloor + 1

    along every axis, rounded up with `ceil_mode` as long as the last window starts inside the input
    or the padding before it. The first maximum wins a tie. NaN is the maximum, the
    first of several. Padding never wins: a window that holds nothing else gives -inf,
    the index -1 and no gradient.

    Parameters
    ----------
    input : ndarray of shape (N, C, H, W) or (C, H, W), float32 or float64
    kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        The kernel size if not given.
    padding : int, one int or (before, after) pair per axis, "same" or "valid"
        Of any size. ``"same"`` gives ceil(n / stride) outputs.
    dilation : int or tuple of int
        Distance between the elements of a window.
    ceil_mode : bool
        Round the number of outputs up.
    return_indices : bool
        Also return where the maxima lie.

    Returns
    -------
    ndarray of shape (N, C, OH, OW)
        With `return_indices` a tuple of it and the int64 indices of the maxima in the flattened channel.

    Raises
    ------
    ValueError
        If the input has another rank, kernel, stride or dilation is not positive, padding is negative, or
        the window does not fit the padded input.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> x = np.array([[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]], float)
    >>> F.max_pool2d(x[None, None], 2)
    array([[[[ 20.,  30.],
             [112.,  37.]]]])
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    r"""Return the maximum of every window of an input with 3 spatial axes.

    .. math:: O = \lfloor (n + p_- + p_+ - d (k - 1) - 1) / s \rfloor + 1

    along every axis, rounded up with `ceil_mode` as long as the last window starts inside the input
    or the padding before it. The first maximum wins a tie. NaN is the maximum, the
    first of several. Padding never wins: a window that holds nothing else gives -inf,
    the index -1 and no gradient.

    Parameters
    ----------
    input : ndarray of shape (N, C, D, H, W) or (C, D, H, W), float32 or float64
    kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        The kernel size if not given.
    padding : int, one int or (before, after) pair per axis, "same" or "valid"
        Of any size. ``"same"`` gives ceil(n / stride) outputs.
    dilation : int or tuple of int
        Distance between the elements of a window.
    ceil_mode : bool
        Round the number of outputs up.
    return_indices : bool
        Also return where the maxima lie.

    Returns
    -------
    ndarray of shape (N, C, OD, OH, OW)
        With `return_indices` a tuple of it and the int64 indices of the maxima in the flattened channel.

    Raises
    ------
    ValueError
        If the input has another rank, kernel, stride or dilation is not positive, padding is negative, or
        the window does not fit the padded input.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2)
    array([[[[[7.]]]]])
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    r"""Return the average of every window of an input with 1 spatial axis.

    .. math:: O = \lfloor (n + p_- + p_+ - k) / s \rfloor + 1

    along every axis, rounded up with `ceil_mode` as long as the last window starts inside the input
    or the padding before it. Padding counts as zeros; a window that holds nothing else gives 0.

    Parameters
    ----------
    input : ndarray of shape (N, C, L) or (C, L), float32 or float64
    kernel_size : int
    stride : int, optional
        The kernel size if not given.
    padding : int, one int or (before, after) pair per axis, "same" or "valid"
        Of any size. ``"same"`` gives ceil(n / stride) outputs.
    ceil_mode : bool
        Round the number of outputs up.
    count_include_pad : bool
        Divide by the size of the window within the padded input; else by the number of its elements
        inside the input.

    Returns
    -------
    ndarray of shape (N, C, OL)

    Raises
    ------
    ValueError
        If the input has another rank, kernel or stride is not positive, padding is negative, or the window
        does not fit the padded input.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.avg_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[2., 1.]]])
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    r"""Return the average of every window of an input with 2 spatial axes.

    .. math:: O = \lfloor (n + p_- + p_+ - k) / s \rfloor + 1

    along every axis, rounded up with `ceil_mode` as long as the last window starts inside the input
    or the padding before it. Padding counts as zeros; a window that holds nothing else gives 0.

    Parameters
    ----------
    input : ndarray of shape (N, C, H, W) or (C, H, W), float32 or float64
    kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        The kernel size if not given.
    padding : int, one int or (before, after) pair per axis, "same" or "valid"
        Of any size. ``"same"`` gives ceil(n / stride) outputs.
    ceil_mode : bool
        Round the number of outputs up.
    count_include_pad : bool
        Divide by the size of the window within the padded input; else by the number of its elements
        inside the input.
    divisor_override : int, optional
        Divide every sum by this number instead; not 0.

    Returns
    -------
    ndarray of shape (N, C, OH, OW)

    Raises
    ------
    ValueError
        If the input has another rank, kernel or stride is not positive, padding is negative, or the window
        does not fit the padded input.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> x = np.array([[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]], float)
    >>> F.avg_pool2d(x[None, None], 2)
    array([[[[13. ,  8. ],
             [79. , 19.5]]]])
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    r"""Return the average of every window of an input with 3 spatial axes.

    .. math:: O = \lfloor (n + p_- + p_+ - k) / s \rfloor + 1

    along every axis, rounded up with `ceil_mode` as long as the last window starts inside the input
    or the padding before it. Padding counts as zeros; a window that holds nothing else gives 0.

    Parameters
    ----------
    input : ndarray of shape (N, C, D, H, W) or (C, D, H, W), float32 or float64
    kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        The kernel size if not given.
    padding : int, one int or (before, after) pair per axis, "same" or "valid"
        Of any size. ``"same"`` gives ceil(n / stride) outputs.
    ceil_mode : bool
        Round the number of outputs up.
    count_include_pad : bool
        Divide by the size of the window within the padded input; else by the number of its elements
        inside the input.
    divisor_override : int, optional
        Divide every sum by this number instead; not 0.

    Returns
    -------
    ndarray of shape (N, C, OD, OH, OW)

    Raises
    ------
    ValueError
        If the input has another rank, kernel or stride is not positive, padding is negative, or the window
        does not fit the padded input.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.avg_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2)
    array([[[[[3.5]]]]])
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Any:
    r"""Return the average of `output_size` windows that together cover the input.

    Along an axis of size :math:`n` with :math:`O` outputs, output :math:`o` covers the positions from
    :math:`\lfloor o n / O \rfloor` up to, not including, :math:`\lceil (o + 1) n / O \rceil`; windows may
    overlap by one. An output size of 1 is global pooling.

    Parameters
    ----------
    input : ndarray of shape (N, C, L) or (C, L), float32 or float64
    output_size : int or None
        None keeps the extent of the input.

    Returns
    -------
    ndarray of shape (N, C, *output_size)

    Raises
    ------
    ValueError
        If the input has another rank or no elements along an axis, or an output size is not positive.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.adaptive_avg_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 1)
    array([[[1.5]]])
    """
    return _adaptive_pool(1, "avg", input, output_size, False)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Any:
    r"""Return the average of `output_size` windows that together cover the input.

    Along an axis of size :math:`n` with :math:`O` outputs, output :math:`o` covers the positions from
    :math:`\lfloor o n / O \rfloor` up to, not including, :math:`\lceil (o + 1) n / O \rceil`; windows may
    overlap by one. An output size of 1 is global pooling.

    Parameters
    ----------
    input : ndarray of shape (N, C, H, W) or (C, H, W), float32 or float64
    output_size : int, None or one per axis
        None keeps the extent of the input.

    Returns
    -------
    ndarray of shape (N, C, *output_size)

    Raises
    ------
    ValueError
        If the input has another rank or no elements along an axis, or an output size is not positive.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.adaptive_avg_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), 1)
    array([[[[2.5]]]])
    """
    return _adaptive_pool(2, "avg", input, output_size, False)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Any:
    r"""Return the average of `output_size` windows that together cover the input.

    Along an axis of size :math:`n` with :math:`O` outputs, output :math:`o` covers the positions from
    :math:`\lfloor o n / O \rfloor` up to, not including, :math:`\lceil (o + 1) n / O \rceil`; windows may
    overlap by one. An output size of 1 is global pooling.

    Parameters
    ----------
    input : ndarray of shape (N, C, D, H, W) or (C, D, H, W), float32 or float64
    output_size : int, None or one per axis
        None keeps the extent of the input.

    Returns
    -------
    ndarray of shape (N, C, *output_size)

    Raises
    ------
    ValueError
        If the input has another rank or no elements along an axis, or an output size is not positive.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.adaptive_avg_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 1)
    array([[[[[3.5]]]]])
    """
    return _adaptive_pool(3, "avg", input, output_size, False)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    r"""Return the maximum of `output_size` windows that together cover the input.

    Along an axis of size :math:`n` with :math:`O` outputs, output :math:`o` covers the positions from
    :math:`\lfloor o n / O \rfloor` up to, not including, :math:`\lceil (o + 1) n / O \rceil`; windows may
    overlap by one. An output size of 1 is global pooling. The first
    maximum wins a tie, NaN is the maximum.

    Parameters
    ----------
    input : ndarray of shape (N, C, L) or (C, L), float32 or float64
    output_size : int or None
        None keeps the extent of the input.
    return_indices : bool
        Also return where the maxima lie.

    Returns
    -------
    ndarray of shape (N, C, *output_size)
        With `return_indices` a tuple of it and the int64 indices of the maxima in the flattened channel.

    Raises
    ------
    ValueError
        If the input has another rank or no elements along an axis, or an output size is not positive.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.adaptive_max_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 1)
    array([[[3.]]])
    """
    return _adaptive_pool(1, "max", input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    r"""Return the maximum of `output_size` windows that together cover the input.

    Along an axis of size :math:`n` with :math:`O` outputs, output :math:`o` covers the positions from
    :math:`\lfloor o n / O \rfloor` up to, not including, :math:`\lceil (o + 1) n / O \rceil`; windows may
    overlap by one. An output size of 1 is global pooling. The first
    maximum wins a tie, NaN is the maximum.

    Parameters
    ----------
    input : ndarray of shape (N, C, H, W) or (C, H, W), float32 or float64
    output_size : int, None or one per axis
        None keeps the extent of the input.
    return_indices : bool
        Also return where the maxima lie.

    Returns
    -------
    ndarray of shape (N, C, *output_size)
        With `return_indices` a tuple of it and the int64 indices of the maxima in the flattened channel.

    Raises
    ------
    ValueError
        If the input has another rank or no elements along an axis, or an output size is not positive.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.adaptive_max_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), 1)
    array([[[[5.]]]])
    """
    return _adaptive_pool(2, "max", input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    r"""Return the maximum of `output_size` windows that together cover the input.

    Along an axis of size :math:`n` with :math:`O` outputs, output :math:`o` covers the positions from
    :math:`\lfloor o n / O \rfloor` up to, not including, :math:`\lceil (o + 1) n / O \rceil`; windows may
    overlap by one. An output size of 1 is global pooling. The first
    maximum wins a tie, NaN is the maximum.

    Parameters
    ----------
    input : ndarray of shape (N, C, D, H, W) or (C, D, H, W), float32 or float64
    output_size : int, None or one per axis
        None keeps the extent of the input.
    return_indices : bool
        Also return where the maxima lie.

    Returns
    -------
    ndarray of shape (N, C, *output_size)
        With `return_indices` a tuple of it and the int64 indices of the maxima in the flattened channel.

    Raises
    ------
    ValueError
        If the input has another rank or no elements along an axis, or an output size is not positive.
    TypeError
        If the input is not a floating array or an argument has another type.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.adaptive_max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 1)
    array([[[[[7.]]]]])
    """
    return _adaptive_pool(3, "max", input, output_size, return_indices)

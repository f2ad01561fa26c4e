"""Linear maps and matrix products."""

from __future__ import annotations

import functools

import numpy as np

from ..graph import Attributes, apply
from ._arguments import Tensor, tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Apply a linear map to the last dimension.

    .. math:: y = x W^T + b

    Parameters
    ----------
    input : ndarray of shape (*, in_features), float32 or float64
        Any number of leading dimensions, none included.
    weight : ndarray of shape (out_features, in_features)
    bias : ndarray of shape (out_features,), optional

    Returns
    -------
    ndarray of shape (*, out_features)

    Raises
    ------
    TypeError
        If an argument is not a floating array, or their dtypes differ.
    ValueError
        If the extents do not match.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.5, 0.0]))
    array([[11.5, 17. ]])
    """
    inputs = [tensor(input, "linear", "input"), tensor(weight, "linear", "weight")]
    if bias is not None:
        inputs.append(tensor(bias, "linear", "bias"))
    output: Tensor = apply("linear", inputs, {})[0]
    return output


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Return the matrix product, with the rules of :func:`numpy.matmul`.

    Parameters
    ----------
    input : ndarray of shape (*, M, K) or (K,), float32 or float64
        A 1-D array is a row.
    other : ndarray of shape (*, K, N) or (K,)
        A 1-D array is a column. The leading dimensions are broadcast with those of `input`. Transposed views of either
        (``w.T``) are read as they lie.

    Returns
    -------
    ndarray of shape (*, M, N)
        Without M when `input` is 1-D, without N when `other` is; of shape () when both are.

    Raises
    ------
    TypeError
        If an argument is not a floating array, or their dtypes differ.
    ValueError
        If the inner extents differ, the leading dimensions do not broadcast, or an argument has no dimension.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    array([21., 43.])
    """
    a, a_transposed = _as_it_lies(tensor(input, "matmul", "input"))
    b, b_transposed = _as_it_lies(tensor(other, "matmul", "other"))
    attributes = _transposes(a_transposed, b_transposed) if a_transposed or b_transposed else {}
    output: Tensor = apply("matmul", [a, b], attributes)[0]
    return output


@functools.cache
def _transposes(input: bool, other: bool) -> Attributes:
    return Attributes({"transpose_input": input, "transpose_other": other})


def _as_it_lies(array: Tensor) -> tuple[Tensor, bool]:
    """Return what a transposed view of matrices is a view of and True, anything else and False."""
    if isinstance(array, np.ndarray) and not array.flags.c_contiguous and array.ndim > 1:
        source = array.swapaxes(-1, -2)
        if source.flags.c_contiguous:
            return source, True
    return array, False

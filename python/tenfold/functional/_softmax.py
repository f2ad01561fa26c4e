"""Softmax."""

from __future__ import annotations

from ..graph import apply
from ._arguments import Tensor, integer, tensor


def softmax(input: Tensor, axis: int = -1) -> Tensor:
    r"""Turn scores into shares that are positive and add up to 1 along an axis.

    .. math:: y_c = \frac{\exp(x_c - m)}{\sum_k \exp(x_k - m)}, \qquad m = \max_k x_k

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
        The subtraction of the maximum changes nothing but keeps exp from overflowing.
    axis : int
        The axis that adds up to 1, from the end when negative.

    Returns
    -------
    ndarray
        Of the input's shape and dtype. Slices along the axis that hold NaN or +inf, or nothing but -inf,
        become NaN.

    Raises
    ------
    TypeError
        If the input is not a floating array.
    ValueError
        If the input has no such axis.

    References
    ----------
    Bridle, "Probabilistic interpretation of feedforward classification network outputs",
    Neurocomputing, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.softmax(np.array([21.0, 34.0, 10000.0, 680.0]))
    array([0., 0., 1., 0.])
    """
    name = "softmax"
    return apply(name, [tensor(input, name, "input")], {"axis": integer(axis, name, "axis")})[0]  # type: ignore[no-any-return]


def log_softmax(input: Tensor, axis: int = -1) -> Tensor:
    r"""Return the logarithm of softmax, also where softmax itself is too small to be told from 0.

    .. math:: y_c = x_c - m - \log \sum_k \exp(x_k - m), \qquad m = \max_k x_k

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    axis : int
        The axis along which the exponentials of the result add up to 1.

    Returns
    -------
    ndarray
        Of the input's shape and dtype.

    Raises
    ------
    TypeError
        If the input is not a floating array.
    ValueError
        If the input has no such axis.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    name = "log_softmax"
    return apply(name, [tensor(input, name, "input")], {"axis": integer(axis, name, "axis")})[0]  # type: ignore[no-any-return]

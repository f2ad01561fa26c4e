"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import apply
from ._arguments import Tensor, integer, tensor

Axes = int | Sequence[int] | None


def _reduce(kind: str, input: Tensor, axis: Axes, keepdims: bool) -> Any:
    attributes: dict[str, Any] = {"keepdims": bool(keepdims)}
    if axis is not None:
        if isinstance(axis, (str, bytes)) or not isinstance(axis, (int, np.integer, Sequence)):
            raise TypeError(f"{kind}: axis must be None, an int or a tuple of ints; received {axis!r}")
        axes = axis if isinstance(axis, Sequence) else (axis,)
        attributes["axes"] = [integer(a, kind, "axis") for a in axes]
    return apply(kind, [tensor(input, kind, "input")], attributes)[0]


def sum(input: Tensor, axis: Axes = None, keepdims: bool = False) -> Any:
    """Return the sum over axes.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    axis : int, tuple of int or None
        The axes that go away; None means all. Negative ones count from the end.
    keepdims : bool
        Whether they stay with an extent of 1.

    Returns
    -------
    ndarray
        Of the remaining axes. Long sums are cut into pieces and added pairwise: the error grows
        slowly, and the bits do not depend on the number of threads. 0 where nothing is summed.

    Raises
    ------
    ValueError
        If an axis does not exist or is named twice.
    TypeError
        If the input is not a floating array or an axis not an int.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> x = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> F.sum(x, axis=0)
    array([4., 7.])
    """
    return _reduce("sum", input, axis, keepdims)


def mean(input: Tensor, axis: Axes = None, keepdims: bool = False) -> Any:
    """Return the mean over axes.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    axis : int, tuple of int or None
        The axes that go away; None means all. Negative ones count from the end.
    keepdims : bool
        Whether they stay with an extent of 1.

    Returns
    -------
    ndarray
        Of the remaining axes. NaN where there is nothing to average.

    Raises
    ------
    ValueError
        If an axis does not exist or is named twice.
    TypeError
        If the input is not a floating array or an axis not an int.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> x = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> F.mean(x, axis=0)
    array([2. , 3.5])
    """
    return _reduce("mean", input, axis, keepdims)


def max(input: Tensor, axis: Axes = None, keepdims: bool = False) -> Any:
    """Return the largest element over axes.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    axis : int, tuple of int or None
        The axes that go away; None means all. Negative ones count from the end.
    keepdims : bool
        Whether they stay with an extent of 1.

    Returns
    -------
    ndarray
        Of the remaining axes. NaN if any is NaN. The gradient goes to the first maximum.

    Raises
    ------
    ValueError
        If an axis does not exist or is named twice, or there is no element to choose from.
    TypeError
        If the input is not a floating array or an axis not an int.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> x = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> F.max(x, axis=0)
    array([3., 5.])
    """
    return _reduce("max", input, axis, keepdims)


def min(input: Tensor, axis: Axes = None, keepdims: bool = False) -> Any:
    """Return the smallest element over axes.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    axis : int, tuple of int or None
        The axes that go away; None means all. Negative ones count from the end.
    keepdims : bool
        Whether they stay with an extent of 1.

    Returns
    -------
    ndarray
        Of the remaining axes. NaN if any is NaN. The gradient goes to the first minimum.

    Raises
    ------
    ValueError
        If an axis does not exist or is named twice, or there is no element to choose from.
    TypeError
        If the input is not a floating array or an axis not an int.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> x = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> F.min(x, axis=0)
    array([1., 2.])
    """
    return _reduce("min", input, axis, keepdims)

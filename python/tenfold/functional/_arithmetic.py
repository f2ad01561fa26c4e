"""Arithmetic with broadcasting, and functions of one variable."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Symbol, Variable, apply
from ._arguments import Tensor, is_number, number, tensor


def _binary(kind: str, input: Any, other: Any) -> Any:
    """Run a kind of two arguments; a number becomes a constant of the other argument's dtype."""
    if is_number(input) and isinstance(other, (np.ndarray, Symbol, Variable)):
        other = tensor(other, kind, "other")
        input = np.asarray(input, dtype=other.dtype)
    elif is_number(other) and isinstance(input, (np.ndarray, Symbol, Variable)):
        input = tensor(input, kind, "input")
        other = np.asarray(other, dtype=input.dtype)
    return apply(kind, [tensor(input, kind, "input"), tensor(other, kind, "other")], {})[0]


def add(input: Tensor | float, other: Tensor | float) -> Any:
    """Return input + other.

    Parameters
    ----------
    input, other : ndarray of shapes that broadcast, float32 or float64, or one of them a number
        A number takes the dtype of the array.

    Returns
    -------
    ndarray
        Of the common shape: axes are matched from the last, and an extent of 1 repeats.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    TypeError
        If the dtypes differ or are not floating.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.add(np.array([1.0, 2.0]), 3)
    array([4., 5.])
    """
    return _binary("add", input, other)


def sub(input: Tensor | float, other: Tensor | float) -> Any:
    """Return input - other.

    Parameters
    ----------
    input, other : ndarray of shapes that broadcast, float32 or float64, or one of them a number
        A number takes the dtype of the array.

    Returns
    -------
    ndarray
        Of the common shape: axes are matched from the last, and an extent of 1 repeats.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    TypeError
        If the dtypes differ or are not floating.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.sub(np.array([1.0, 2.0]), 3)
    array([-2., -1.])
    """
    return _binary("sub", input, other)


def mul(input: Tensor | float, other: Tensor | float) -> Any:
    """Return input * other.

    Parameters
    ----------
    input, other : ndarray of shapes that broadcast, float32 or float64, or one of them a number
        A number takes the dtype of the array.

    Returns
    -------
    ndarray
        Of the common shape: axes are matched from the last, and an extent of 1 repeats.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    TypeError
        If the dtypes differ or are not floating.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.mul(np.array([[1.0], [2.0]]), np.array([3.0, 4.0]))
    array([[3., 4.],
           [6., 8.]])
    """
    return _binary("mul", input, other)


def div(input: Tensor | float, other: Tensor | float) -> Any:
    """Return input / other.

    Parameters
    ----------
    input, other : ndarray of shapes that broadcast, float32 or float64, or one of them a number
        A number takes the dtype of the array.

    Returns
    -------
    ndarray
        Of the common shape: axes are matched from the last, and an extent of 1 repeats.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    TypeError
        If the dtypes differ or are not floating.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.div(1, np.array([2.0, 0.0]))
    array([0.5, inf])
    """
    return _binary("div", input, other)


def maximum(input: Tensor | float, other: Tensor | float) -> Any:
    """Return the larger of the two, element by element.

    Parameters
    ----------
    input, other : ndarray of shapes that broadcast, float32 or float64, or one of them a number
        A number takes the dtype of the array.

    Returns
    -------
    ndarray
        Of the common shape: axes are matched from the last, and an extent of 1 repeats.
        NaN where either is NaN. Where both are equal the gradient goes to `input`.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    TypeError
        If the dtypes differ or are not floating.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.maximum(np.array([1.0, 5.0]), 3)
    array([3., 5.])
    """
    return _binary("maximum", input, other)


def minimum(input: Tensor | float, other: Tensor | float) -> Any:
    """Return the smaller of the two, element by element.

    Parameters
    ----------
    input, other : ndarray of shapes that broadcast, float32 or float64, or one of them a number
        A number takes the dtype of the array.

    Returns
    -------
    ndarray
        Of the common shape: axes are matched from the last, and an extent of 1 repeats.
        NaN where either is NaN. Where both are equal the gradient goes to `input`.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    TypeError
        If the dtypes differ or are not floating.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.minimum(np.array([1.0, 5.0]), 3)
    array([1., 3.])
    """
    return _binary("minimum", input, other)


def pow(input: Tensor | float, exponent: Tensor | float) -> Any:
    """Return input to the power of exponent.

    Parameters
    ----------
    input, exponent : ndarray of shapes that broadcast, float32 or float64, or one of them a number
        The numbers 2, 3, 0.5 and -1 as exponents are computed as x x, x x x, sqrt(x) and 1 / x.

    Returns
    -------
    ndarray
        Of the common shape; NaN for a negative input and an exponent that is no whole number. The gradient
        with respect to an exponent is 0 where the input is 0.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    TypeError
        If the dtypes differ or are not floating.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.pow(np.array([1.0, 2.0, 3.0]), 2)
    array([1., 4., 9.])
    """
    if is_number(exponent):
        return apply("power", [tensor(input, "pow", "input")], {"exponent": float(exponent)})[0]  # type: ignore[arg-type]
    return _binary("pow", input, exponent)


def exp(input: Tensor) -> Any:
    """Return the exponential function.

    .. math:: y = e^x

    The error is at most 2 ULP; where the result is smaller than the smallest normal number, it is 0.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray
        Of the input's shape and dtype. NaN stays NaN.

    Raises
    ------
    TypeError
        If the input is not a floating array.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.exp(np.array([-np.inf, 0.0, np.inf]))
    array([ 0.,  1., inf])
    """
    return apply("exp", [tensor(input, "exp", "input")], {})[0]


def log(input: Tensor) -> Any:
    """Return the natural logarithm.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray
        Of the input's shape and dtype. -inf at 0, NaN below.

    Raises
    ------
    TypeError
        If the input is not a floating array.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.log(np.array([0.0, 1.0, np.inf]))
    array([-inf,   0.,  inf])
    """
    return apply("log", [tensor(input, "log", "input")], {})[0]


def sqrt(input: Tensor) -> Any:
    """Return the square root.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray
        Of the input's shape and dtype. NaN below 0; the derivative at 0 is infinite.

    Raises
    ------
    TypeError
        If the input is not a floating array.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.sqrt(np.array([0.0, 4.0]))
    array([0., 2.])
    """
    return apply("sqrt", [tensor(input, "sqrt", "input")], {})[0]


def abs(input: Tensor) -> Any:
    """Return the magnitude.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray
        Of the input's shape and dtype. The derivative at 0 is 0.

    Raises
    ------
    TypeError
        If the input is not a floating array.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.abs(np.array([-2.0, 0.0, 3.0]))
    array([2., 0., 3.])
    """
    return apply("abs", [tensor(input, "abs", "input")], {})[0]


def neg(input: Tensor) -> Any:
    """Return the negative.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray
        Of the input's shape and dtype. NaN stays NaN.

    Raises
    ------
    TypeError
        If the input is not a floating array.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.neg(np.array([1.0, -2.0]))
    array([-1.,  2.])
    """
    return apply("neg", [tensor(input, "neg", "input")], {})[0]


def square(input: Tensor) -> Any:
    """Return the square.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray
        Of the input's shape and dtype. NaN stays NaN.

    Raises
    ------
    TypeError
        If the input is not a floating array.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.square(np.array([1.0, -2.0]))
    array([1., 4.])
    """
    return apply("square", [tensor(input, "square", "input")], {})[0]


def reciprocal(input: Tensor) -> Any:
    """Return 1 / input.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray
        Of the input's shape and dtype. NaN stays NaN.

    Raises
    ------
    TypeError
        If the input is not a floating array.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.reciprocal(np.array([2.0, np.inf]))
    array([0.5, 0. ])
    """
    return apply("reciprocal", [tensor(input, "reciprocal", "input")], {})[0]


def sin(input: Tensor) -> Any:
    """Return the sine of an angle in radians.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray
        Of the input's shape and dtype. NaN stays NaN.

    Raises
    ------
    TypeError
        If the input is not a floating array.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.sin(np.array([0.0]))
    array([0.])
    """
    return apply("sin", [tensor(input, "sin", "input")], {})[0]


def cos(input: Tensor) -> Any:
    """Return the cosine of an angle in radians.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray
        Of the input's shape and dtype. NaN stays NaN.

    Raises
    ------
    TypeError
        If the input is not a floating array.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.cos(np.array([0.0]))
    array([1.])
    """
    return apply("cos", [tensor(input, "cos", "input")], {})[0]


def clip(input: Tensor, min: float | None = None, max: float | None = None) -> Any:
    """Return the input, raised to `min` where it is smaller and lowered to `max` where it is larger.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    min, max : float or None
        None leaves that side open; where min > max, the result is max.

    Returns
    -------
    ndarray
        Of the input's shape and dtype. NaN stays NaN. The derivative at `min` and `max` themselves is 1.

    Raises
    ------
    TypeError
        If the input is not a floating array.
    ValueError
        If both are None.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.clip(np.array([-1.0, 0.5, 2.0]), 0, 1)
    array([0. , 0.5, 1. ])
    """
    if min is None and max is None:
        raise ValueError("clip: min or max must be given; received None for both")
    low = -math.inf if min is None else number(min, "clip", "min")
    high = math.inf if max is None else number(max, "clip", "max")
    return apply("clip", [tensor(input, "clip", "input")], {"min": low, "max": high})[0]

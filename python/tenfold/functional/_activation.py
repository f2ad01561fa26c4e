"""Activations."""

from __future__ import annotations

from typing import Any

from ..graph import apply
from ._arguments import Tensor, number, remembered, tensor


@remembered
def _relu_attributes(_shapes: tuple[()], at_zero: float) -> dict[str, float]:
    return {"at_zero": number(at_zero, "relu", "at_zero")}


def relu(input: Tensor, at_zero: float = 1.0) -> Any:
    r"""Return the positive part, element by element.

    .. math:: y = \max(x, 0)

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    at_zero : float
        The derivative at 0: 1 by the lecture's definition, 0 in PyTorch.

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
    >>> F.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return apply("relu", [tensor(input, "relu", "input")], _relu_attributes((), at_zero))[0]


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Any:
    r"""Return x where it is positive, a fraction of it elsewhere.

    .. math:: y = x \text{ for } x > 0, \quad \text{negative\_slope} \cdot x \text{ otherwise}

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    negative_slope : float
        The slope left of 0, and the derivative at 0.

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
    >>> F.leaky_relu(np.array([-1.0, 0.0, 2.0]), 0.25)
    array([-0.25,  0.  ,  2.  ])
    """
    return apply(
        "leaky_relu",
        [tensor(input, "leaky_relu", "input")],
        {"negative_slope": number(negative_slope, "leaky_relu", "negative_slope")},
    )[0]


def elu(input: Tensor, alpha: float = 1.0) -> Any:
    r"""Return the exponential linear unit.

    .. math:: y = x \text{ for } x > 0, \quad \alpha (e^x - 1) \text{ otherwise}

    Clevert, Unterthiner, Hochreiter, "Fast and accurate deep network learning by exponential linear units"
    (2016).

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    alpha : float
        The negative of the limit for large negative x.

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
    >>> F.elu(np.array([-np.inf, 0.0, 2.0]))
    array([-1.,  0.,  2.])
    """
    return apply("elu", [tensor(input, "elu", "input")], {"alpha": number(alpha, "elu", "alpha")})[0]


def gelu(input: Tensor, approximate: str = "none") -> Any:
    r"""Return the Gaussian error linear unit.

    .. math:: y = x \Phi(x), \qquad \Phi(x) = \tfrac12 \operatorname{erfc}(-x / \sqrt 2)

    Hendrycks, Gimpel, "Gaussian error linear units" (2016).

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    approximate : {"none", "tanh"}
        "tanh" computes :math:`\tfrac12 x (1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715 x^3)))` instead.

    Returns
    -------
    ndarray
        Of the input's shape and dtype. Accurate in the far negative tail too, where
        :math:`1 + \operatorname{erf}` would cancel.

    Raises
    ------
    TypeError
        If the input is not a floating array, or `approximate` no string.
    ValueError
        If `approximate` is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    if not isinstance(approximate, str):
        raise TypeError(f"gelu: approximate must be 'none' or 'tanh'; received {approximate!r}")
    return apply("gelu", [tensor(input, "gelu", "input")], {"approximate": approximate})[0]


def silu(input: Tensor) -> Any:
    """Return x times its sigmoid, also called swish.

    .. math:: y = x / (1 + e^{-x})

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
    >>> F.silu(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.7311])
    """
    return apply("silu", [tensor(input, "silu", "input")], {})[0]


def sigmoid(input: Tensor) -> Any:
    r"""Return the logistic function.

    .. math:: y = \frac{1}{1 + e^{-x}} = \frac{1 + \tanh(x / 2)}{2}

    Computed from :math:`e^{-|x|}`, so that nothing overflows and small results keep their digits
    (error at most 3 ULP).

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
    >>> F.sigmoid(np.array([-np.inf, 0.0, np.inf]))
    array([0. , 0.5, 1. ])
    """
    return apply("sigmoid", [tensor(input, "sigmoid", "input")], {})[0]


def tanh(input: Tensor) -> Any:
    r"""Return the hyperbolic tangent.

    .. math:: y = \frac{e^{2x} - 1}{e^{2x} + 1}

    The error is at most 3 ULP.

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
    >>> F.tanh(np.array([-np.inf, 0.0, np.inf]))
    array([-1.,  0.,  1.])
    """
    return apply("tanh", [tensor(input, "tanh", "input")], {})[0]


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Any:
    r"""Return a smooth approximation of the positive part.

    .. math:: y = \log(1 + e^{\beta x}) / \beta

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    beta : float
        How sharp the bend is; positive.
    threshold : float
        Where :math:`\beta x` is larger, y = x.

    Returns
    -------
    ndarray
        Of the input's shape and dtype. NaN stays NaN.

    Raises
    ------
    TypeError
        If the input is not a floating array.
    ValueError
        If `beta` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.softplus(np.array([0.0, 30.0])).round(4)
    array([ 0.6931, 30.    ])
    """
    return apply(
        "softplus",
        [tensor(input, "softplus", "input")],
        {"beta": number(beta, "softplus", "beta"), "threshold": number(threshold, "softplus", "threshold")},
    )[0]

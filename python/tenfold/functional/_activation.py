"""Activations."""

from __future__ import annotations

from ..graph import apply
from ._arguments import Tensor, tensor


def relu(input: Tensor, at_zero: float = 1.0) -> Tensor:
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
    return apply("relu", [tensor(input, "relu", "input")], {"at_zero": float(at_zero)})[0]

"""Random functions of training."""

from __future__ import annotations

import math
from typing import Any

from .._random import next_seed
from ..graph import Symbol, Variable, active, apply
from ._arguments import Tensor, number, tensor


def _dropout(input: Tensor, p: float, training: bool, function: str, span: int) -> Tensor:
    input = tensor(input, function, "input")
    p = number(p, function, "p")
    if not 0 <= p <= 1:
        raise ValueError(f"{function}: p must be from 0 to 1; received {p!r}")
    if not training or p == 0:
        return input
    trace = input.trace if isinstance(input, Symbol) else active() if isinstance(input, Variable) else None
    attributes: dict[str, Any] = {"function": function, "p": p, "span": max(span, 1)}
    if trace is not None:
        attributes["stream"] = trace.graph.node_count()  # every node draws numbers of its own
        return apply("dropout", [input], attributes)[0]  # type: ignore[no-any-return]
    return apply("dropout", [input], attributes, seed=next_seed())[0]  # type: ignore[no-any-return]


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    r"""Set every element to 0 with probability p, and divide the others by 1 - p; the mean stays the same.

    Random numbers are a function of seed, step, node and element: the same seed gives the same mask on every
    run and at every number of threads.

    Parameters
    ----------
    input : ndarray of any shape, float32 or float64
    p : float
        From 0 to 1.
    training : bool
        False returns the input.

    Returns
    -------
    ndarray
        Of the input's shape and dtype.

    Raises
    ------
    TypeError
        If the input is not a floating array.
    ValueError
        If p is not from 0 to 1.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: a simple way to prevent neural
    networks from overfitting", JMLR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> sorted(set(F.dropout(np.ones(1000), 0.5).tolist()))
    [0.0, 2.0]
    """
    return _dropout(input, p, training, "dropout", 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    r"""Set whole feature maps to 0 with probability p, and divide the others by 1 - p.

    Parameters
    ----------
    input : ndarray of shape (N, C, H, W), float32 or float64
    p, training
        As for :func:`dropout`.

    Returns
    -------
    ndarray
        Of the input's shape and dtype.

    Raises
    ------
    TypeError
        If the input is not a floating array.
    ValueError
        If the input has not four axes, or p is not from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> y = F.dropout2d(np.ones((2, 3, 4, 4)), 0.5)
    >>> bool(np.all(y == y[:, :, :1, :1]))
    True
    """
    input = tensor(input, "dropout2d", "input")
    if input.ndim != 4:
        raise ValueError(f"dropout2d: input must have shape (N, C, H, W); received {tuple(input.shape)}")
    return _dropout(input, p, training, "dropout2d", math.prod(input.shape[2:]))

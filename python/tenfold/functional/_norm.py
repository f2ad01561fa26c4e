"""Normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Symbol, Variable, apply
from ._arguments import Tensor, number, tensor


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalise every channel to mean 0 and variance 1, then scale and shift it.

    .. math:: y = \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} w_c + b_c

    In training, mean and (biased) variance are the batch's, taken over all axes but the second, and the
    running statistics move towards them: :math:`r \leftarrow (1 - m) r + m s`, with the unbiased variance.
    Otherwise the running statistics are used.

    Parameters
    ----------
    input : ndarray of shape (N, C) or (N, C, \*), up to 5 axes, float32 or float64
    running_mean, running_var : ndarray of shape (C,), or None in training
        Changed in place in training. While a function is being recorded, Buffers are changed whenever the
        recorded graph runs, and plain arrays stay as they are.
    weight, bias : ndarray of shape (C,), optional
        1 and 0 when absent.
    training : bool
    momentum : float
        The share m of the new statistics.
    eps : float

    Returns
    -------
    ndarray
        Of the input's shape and dtype.

    Raises
    ------
    TypeError
        If an argument is not a floating array, or the dtypes differ.
    ValueError
        If a shape does not fit; if there is one value per channel only in training; or if running statistics
        are missing outside training.

    References
    ----------
    Ioffe, Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", ICML 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    array([[-1.],
           [ 1.]])
    """
    name = "batch_norm"
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{name}: running_mean and running_var must be given both or not at all")
    if running_mean is None and not training:
        raise ValueError(f"{name}: running_mean must be given when training is False; received None")
    inputs: list[Any] = [tensor(input, name, "input")]
    running = running_mean is not None
    if running:
        inputs += [tensor(running_mean, name, "running_mean"), tensor(running_var, name, "running_var")]
    if weight is not None:
        inputs.append(tensor(weight, name, "weight"))
    if bias is not None:
        inputs.append(tensor(bias, name, "bias"))
    attributes = {
        "training": bool(training),
        "momentum": number(momentum, "batch_norm", "momentum"),
        "eps": number(eps, "batch_norm", "eps"),
        "has_running": running,
        "has_weight": weight is not None,
        "has_bias": bias is not None,
    }
    y, *new = apply(name, inputs, attributes)
    for statistic, value in zip((running_mean, running_var), new):
        _update(statistic, value)
    return y  # type: ignore[no-any-return]


def _update(variable: Any, value: Any) -> None:
    """Let a running statistic have a new value: at once, or whenever what is being recorded runs."""
    if isinstance(value, Symbol):
        if isinstance(variable, Variable):
            value.trace.update(variable, value)
    else:
        np.copyto(variable.data if isinstance(variable, Variable) else variable, value)


def count_batch(counter: Variable) -> None:
    """Add 1 to an int64 counter: at once, or whenever what is being recorded runs."""
    _update(counter, apply("increment", [counter], {})[0])

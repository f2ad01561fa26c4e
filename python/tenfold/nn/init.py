"""Distributions of initial weights, with the names and rules of torch.nn.init.

Every function fills a Parameter (or a writable ndarray) in place with numbers from the generator that
:func:`tenfold.manual_seed` restarts, and returns it.

Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (AISTATS 2010);
He, Zhang, Ren and Sun, "Delving deep into rectifiers" (ICCV 2015).
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from .._random import generator
from ..graph import Variable

__all__ = [
    "calculate_gain",
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

Target = TypeVar("Target", bound=Any)

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which weights grow to keep the variance through a nonlinearity.

    Parameters
    ----------
    nonlinearity : str
        ``"linear"``, ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``, ``"selu"`` or, as in torch,
        the name of a convolution.
    param : float, optional
        The negative slope of ``"leaky_relu"``, 0.01 unless told.

    Raises
    ------
    ValueError
        If the nonlinearity is unknown.

    Examples
    --------
    >>> from tenfold.nn import init
    >>> init.calculate_gain("leaky_relu", 0.0) ** 2
    2.0000000000000004
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join(map(repr, [*_GAINS, "leaky_relu"]))
        raise ValueError(f"calculate_gain: nonlinearity must be one of {known}; received {nonlinearity!r}")
    return _GAINS[nonlinearity]


def _fill(tensor: Target, values: Any) -> Target:
    array = tensor.data if isinstance(tensor, Variable) else tensor
    array[...] = values
    return tensor


def _fans(tensor: Any, function: str) -> tuple[int, int]:
    """Return how many inputs an output sees, and how many outputs an input reaches."""
    shape = np.shape(tensor)
    if len(shape) < 2:
        raise ValueError(f"{function}: tensor must have at least two dimensions; received the shape {shape}")
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def _kaiming_std(tensor: Any, a: float, mode: str, nonlinearity: str, function: str) -> float:
    fan_in, fan_out = _fans(tensor, function)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{function}: mode must be 'fan_in' or 'fan_out'; received {mode!r}")
    fan = fan_in if mode == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def uniform_(tensor: Target, a: float = 0.0, b: float = 1.0) -> Target:
    """Fill with numbers uniform on [a, b)."""
    return _fill(tensor, generator().uniform(a, b, np.shape(tensor)))


def normal_(tensor: Target, mean: float = 0.0, std: float = 1.0) -> Target:
    """Fill with normally distributed numbers."""
    return _fill(tensor, generator().normal(mean, std, np.shape(tensor)))


def constant_(tensor: Target, val: float) -> Target:
    """Fill with one number."""
    return _fill(tensor, val)


def zeros_(tensor: Target) -> Target:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Target) -> Target:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Target, gain: float = 1.0) -> Target:
    """Fill with numbers uniform on [-a, a), a = gain * sqrt(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6.0 / max(sum(_fans(tensor, "xavier_uniform_")), 1))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Target, gain: float = 1.0) -> Target:
    """Fill with normal numbers of standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(sum(_fans(tensor, "xavier_normal_")), 1)))


def kaiming_uniform_(
    tensor: Target, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Target:
    """Fill with numbers uniform on [-b, b), b = gain * sqrt(3 / fan).

    Parameters
    ----------
    tensor : Parameter or ndarray of at least two dimensions
    a : float
        The negative slope of the rectifier behind this layer.
    mode : {"fan_in", "fan_out"}
        Which variance is kept: that of the values forward, or that of the gradients backward.
    nonlinearity : str
        See :func:`calculate_gain`.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Target, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Target:
    """Fill with normal numbers of standard deviation gain / sqrt(fan); see :func:`kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_"))

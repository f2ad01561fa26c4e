"""New, unfilled parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..graph import Parameter

_MOST_ELEMENTS = 2**48  # the core's own limit on a tensor


def empty_parameter(shape: Sequence[int], dtype: npt.DTypeLike, layer: str, argument: str) -> Parameter:
    """Return a parameter of undefined values; `layer` and `argument` are named when that cannot be.

    Raises
    ------
    TypeError
        If the dtype is not float32 or float64.
    ValueError
        If the parameter would have more than 2^48 elements.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"{layer}: dtype must be float32 or float64; received {np.dtype(dtype)}")
    if math.prod(shape) > _MOST_ELEMENTS:
        raise ValueError(f"{layer}: {argument} must have at most 2^48 elements; its shape is {tuple(shape)}")
    return Parameter(np.empty(shape, dtype))

"""Linear layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import functional as F
from ..functional._arguments import integer
from . import init
from ._module import Module
from ._parameters import empty_parameter


class Linear(Module):
    """A linear map of the last dimension, y = x Wᵀ + b; see :func:`tenfold.functional.linear`.

    Parameters
    ----------
    in_features, out_features : int
        Extents of the last dimension before and after; positive.
    bias : bool
        Whether b exists.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    weight : Parameter of shape (out_features, in_features)
    bias : Parameter of shape (out_features,) or None
        Both start uniform on ±1 / sqrt(in_features).

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import nn
    >>> nn.Linear(3, 2)(np.ones((4, 3), np.float32)).shape
    (4, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: npt.DTypeLike = np.float32
    ) -> None:
        super().__init__()
        self.in_features = integer(in_features, "Linear", "in_features")
        self.out_features = integer(out_features, "Linear", "out_features")
        for name in ("in_features", "out_features"):
            if getattr(self, name) < 1:
                raise ValueError(f"Linear: {name} must be positive; received {getattr(self, name)}")
        self.weight = empty_parameter((self.out_features, self.in_features), dtype, "Linear", "weight")
        self.bias = empty_parameter((self.out_features,), dtype, "Linear", "bias") if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial weights."""
        bound = 1.0 / math.sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Any:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )

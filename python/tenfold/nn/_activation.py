"""Activation layers."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ._module import Module


class ReLU(Module):
    """The positive part, element by element; see :func:`tenfold.functional.relu`.

    Parameters
    ----------
    at_zero : float
        The derivative at 0: 1 by the lecture's definition, 0 in PyTorch.
    """

    def __init__(self, at_zero: float = 1.0) -> None:
        super().__init__()
        self.at_zero = at_zero

    def forward(self, input: Any) -> Any:
        return F.relu(input, self.at_zero)

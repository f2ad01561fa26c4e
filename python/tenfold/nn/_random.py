"""Layers that are random in training."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..functional._arguments import number
from ._module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        p = number(p, type(self).__name__, "p")
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p must be from 0 to 1; received {p!r}")
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
    """Zero elements in training, with probability p; see :func:`tenfold.functional.dropout`.

    Parameters
    ----------
    p : float
    """

    def forward(self, input: Any) -> Any:
        return F.dropout(input, self.p, self.training)


class Dropout2d(_Dropout):
    """Zero feature maps in training, with probability p; see :func:`tenfold.functional.dropout2d`.

    Parameters
    ----------
    p : float
    """

    def forward(self, input: Any) -> Any:
        return F.dropout2d(input, self.p, self.training)

"""Layers that change shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functional as F
from ..functional._arguments import integers
from ._module import Module


class Flatten(Module):
    """Join axes, all but the first by default; see :func:`tenfold.functional.flatten`.

    Parameters
    ----------
    start_dim, end_dim : int
        First and last axis to join.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Any) -> Any:
        return F.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split an axis; see :func:`tenfold.functional.unflatten`.

    Parameters
    ----------
    dim : int
        The axis.
    unflattened_size : sequence of int
        Its new extents; one may be -1.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Any) -> Any:
        return F.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Concat(Module):
    """Put several inputs one after the other; see :func:`tenfold.functional.concat`.

    Parameters
    ----------
    axis : int
        Along this axis: 1 is the channels.
    """

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *inputs: Any) -> Any:
        return F.concat(list(inputs), self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class _Pad(Module):
    """Base of the padding layers; see :func:`tenfold.functional.pad`."""

    border = "constant"
    rank = 2

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        if isinstance(padding, (int, np.integer)):
            padding = (int(padding),) * (2 * self.rank)
        self.padding = tuple(integers(padding, type(self).__name__, "padding"))
        if len(self.padding) != 2 * self.rank:
            raise ValueError(
                f"{type(self).__name__}: padding must be an int or {2 * self.rank} ints, "
                f"the last axis first; received {padding!r}"
            )

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, border=self.border)

    def extra_repr(self) -> str:
        return str(self.padding)


class ZeroPad2d(_Pad):
    """Zeros around an image.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    """


class ConstantPad2d(_Pad):
    """A constant around an image.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    value : float
    """

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, value=self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ReflectionPad2d(_Pad):
    """The mirrored image around an image, its edge not repeated.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    """

    border = "reflect"


class ReplicationPad2d(_Pad):
    """The edge of an image around it.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    """

    border = "replicate"


class CircularPad2d(_Pad):
    """An image around itself, as on a torus.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    """

    border = "circular"

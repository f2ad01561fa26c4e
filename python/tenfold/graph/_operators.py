"""Operators of symbols and variables: those of arrays, so that code written with them runs on arrays too.

They call the functions of tenfold.functional, which are looked up when an operator is used: functional is
built on graph.
"""

from __future__ import annotations

from typing import Any


def _functional() -> Any:
    from .. import functional

    return functional


class Operators:
    """``+ - * / ** @``, ``abs``, indexing and methods of arrays; an operand may be a number or an array."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return _functional().add(self, other)

    def __radd__(self, other: Any) -> Any:
        return _functional().add(other, self)

    def __sub__(self, other: Any) -> Any:
        return _functional().sub(self, other)

    def __rsub__(self, other: Any) -> Any:
        return _functional().sub(other, self)

    def __mul__(self, other: Any) -> Any:
        return _functional().mul(self, other)

    def __rmul__(self, other: Any) -> Any:
        return _functional().mul(other, self)

    def __truediv__(self, other: Any) -> Any:
        return _functional().div(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _functional().div(other, self)

    def __pow__(self, other: Any) -> Any:
        return _functional().pow(self, other)

    def __rpow__(self, other: Any) -> Any:
        return _functional().pow(other, self)

    def __matmul__(self, other: Any) -> Any:
        return _functional().matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _functional().matmul(other, self)

    def __neg__(self) -> Any:
        return _functional().neg(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return _functional().abs(self)

    def __getitem__(self, key: Any) -> Any:
        return _functional().getitem(self, key)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the sum over axes; see :func:`tenfold.functional.sum`."""
        return _functional().sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the mean over axes; see :func:`tenfold.functional.mean`."""
        return _functional().mean(self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the largest element over axes; see :func:`tenfold.functional.max`."""
        return _functional().max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the smallest element over axes; see :func:`tenfold.functional.min`."""
        return _functional().min(self, axis, keepdims)

    def reshape(self, *shape: Any) -> Any:
        """Return the same elements in another shape, given as ints or as one tuple."""
        return _functional().reshape(self, shape[0] if len(shape) == 1 else shape)

    def flatten(self) -> Any:
        """Return all elements in one axis."""
        return _functional().reshape(self, -1)

    def transpose(self, *axes: Any) -> Any:
        """Return the axes in another order, given as ints or as one tuple; reversed when none is given."""
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
            axes = tuple(axes[0]) if axes[0] is not None else ()
        if not axes:
            axes = tuple(reversed(range(len(self.shape))))  # type: ignore[attr-defined]
        return _functional().permute(self, axes)

    @property
    def T(self) -> Any:  # noqa: N802
        """The axes in reverse order."""
        return self.transpose()

"""Linear maps and matrix products by their definitions, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any


def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """Return y[..., o] = sum over i of x[..., i] w[o, i] + b[o]."""
    y = np.einsum("...i,oi->...o", np.asarray(x, np.float64), np.asarray(w, np.float64))
    return y if b is None else y + b


def linear_gradients(x: Array, w: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Return (dx, dw, db)."""
    rows = math.prod(x.shape[:-1])
    rows_x = np.asarray(x, np.float64).reshape(rows, w.shape[1])
    rows_dy = np.asarray(dy, np.float64).reshape(rows, w.shape[0])
    dx = np.einsum("...o,oi->...i", np.asarray(dy, np.float64), np.asarray(w, np.float64))
    return dx, np.einsum("ro,ri->oi", rows_dy, rows_x), rows_dy.sum(axis=0)


def matmul(a: Array, b: Array) -> Array:
    """Return NumPy's product."""
    return np.matmul(np.asarray(a, np.float64), np.asarray(b, np.float64))


def matmul_gradients(a: Array, b: Array, dc: Array) -> tuple[Array, Array]:
    """Return (da, db): the products with the other operand transposed, summed over broadcast extents."""
    a, b, dc = (np.asarray(v, np.float64) for v in (a, b, dc))
    a2, b2 = (a[None, :] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    if b.ndim == 1:
        dc = dc[..., None]
    if a.ndim == 1:
        dc = dc[..., None, :]
    da, db = np.matmul(dc, np.swapaxes(b2, -1, -2)), np.matmul(np.swapaxes(a2, -1, -2), dc)
    return _sum_to(da, a2.shape).reshape(a.shape), _sum_to(db, b2.shape).reshape(b.shape)


def _sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    return x.sum(axis=tuple(d for d, n in enumerate(shape) if n == 1), keepdims=True)

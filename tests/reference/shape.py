"""Shape operations that NumPy has no direct word for, and gradients of moves by following every element."""

from __future__ import annotations

import numpy as np


def border_position(p: int, n: int, border: str) -> int:
    """Return where position p of an axis of n elements reads, step by step; -1 for the constant."""
    while not 0 <= p < n:
        if border == "constant":
            return -1
        if border == "replicate":
            p = 0 if p < 0 else n - 1
        elif border == "circular":
            p += n if p < 0 else -n
        elif border == "reflect":
            p = -p if p < 0 else 2 * (n - 1) - p
        else:
            p = -p - 1 if p < 0 else 2 * n - 1 - p
    return p


def pad(x, pairs, border="constant", value=0.0):
    """Pad every axis by (before, after)."""
    for axis, (before, after) in enumerate(pairs):
        n = x.shape[axis]
        sources = [border_position(p - before, n, border) for p in range(before + n + after)]
        parts = [
            np.full_like(np.take(x, [0], axis), value) if s < 0 else np.take(x, [s], axis) for s in sources
        ]
        x = np.concatenate(parts, axis) if parts else np.take(x, [], axis)
    return x


def moved_gradient(move, x, dy):
    """Return dx of y = move(x) for a move of elements: numbers go through it; -1 was made up."""
    numbers = move(np.arange(x.size, dtype=np.int64).reshape(x.shape))
    dx = np.zeros(x.size, dy.dtype)
    np.add.at(dx, numbers[numbers >= 0], dy[numbers >= 0])
    return dx.reshape(x.shape)

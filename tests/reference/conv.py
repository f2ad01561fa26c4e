"""Convolution by its definition: loops over groups, outputs and taps; channels and filters are a matrix product.

Along every axis output o looks through tap k at position ``o * stride + k * dilation - before``; where that lies
outside, :func:`source` says what is read. ``None`` stands for the border's constant.
"""

from __future__ import annotations

import itertools

import numpy as np


def source(position: int, size: int, border: str) -> int | None:
    """Return the index that is read at `position` of an axis of `size` elements; None for the constant."""
    if 0 <= position < size:
        return position
    if border == "constant":
        return None
    if border == "replicate":
        return 0 if position < 0 else size - 1
    if border == "circular":
        return position % size
    # Walk along the mirrored axis until inside: one reflection at a time.
    while not 0 <= position < size:
        if border == "reflect":
            position = -position if position < 0 else 2 * (size - 1) - position
        else:
            position = -1 - position if position < 0 else 2 * size - 1 - position
    return position


def output_size(size, kernel, stride, pads, dilation):
    """Return the number of windows along every axis; pads are (before, after) pairs."""
    return tuple(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, (before, after), d in zip(size, kernel, stride, pads, dilation)
    )


def looks(size, kernel, stride, pads, dilation, border, outputs):
    """Yield (o, k, where): the window position, the tap and the input index, None outside."""
    for o in itertools.product(*map(range, outputs)):
        for k in itertools.product(*map(range, kernel)):
            where = tuple(
                source(oi * s + ki * d - before, n, border)
                for oi, ki, s, d, (before, _), n in zip(o, k, stride, dilation, pads, size)
            )
            yield o, k, None if None in where else where


def shares(groups, *counts):
    """Yield for every group the slices of axes of so many elements that belong to it."""
    for g in range(groups):
        yield tuple(slice(g * (n // groups), (g + 1) * (n // groups)) for n in counts)


def conv(x, w, bias, stride, pads, dilation, groups=1, border="constant", border_value=0.0):
    """Return y of shape (N, F, *outputs) in float64."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    size, kernel = x.shape[2:], w.shape[2:]
    outputs = output_size(size, kernel, stride, pads, dilation)
    y = np.zeros((x.shape[0], w.shape[0], *outputs))
    if bias is not None:
        y += np.asarray(bias, np.float64).reshape(-1, *[1] * len(size))
    for o, k, where in looks(size, kernel, stride, pads, dilation, border, outputs):
        seen = np.full(x.shape[:2], border_value) if where is None else x[(..., *where)]
        for f, c in shares(groups, w.shape[0], x.shape[1]):
            y[(slice(None), f, *o)] += seen[:, c] @ w[(f, slice(None), *k)].T
    return y


def conv_backward(x, w, dy, stride, pads, dilation, groups=1, border="constant", border_value=0.0):
    """Return dx, dw, db in float64."""
    x, w, dy = (np.asarray(a, np.float64) for a in (x, w, dy))
    size, kernel = x.shape[2:], w.shape[2:]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for o, k, where in looks(size, kernel, stride, pads, dilation, border, dy.shape[2:]):
        seen = np.full(x.shape[:2], border_value) if where is None else x[(..., *where)]
        for f, c in shares(groups, w.shape[0], x.shape[1]):
            d, taps = dy[(slice(None), f, *o)], (f, slice(None), *k)
            dw[taps] += d.T @ seen[:, c]
            if where is not None:
                dx[(slice(None), c, *where)] += d @ w[taps]
    return dx, dw, dy.sum(axis=(0, *range(2, dy.ndim)))


def conv_transpose(  # x is (N, C, *), w is (C, F / groups, *)
    x, w, bias, stride, pads, output_padding, dilation, groups=1, border="constant"
):
    """Return y of shape (N, F, *outputs) in float64: every input puts down a copy of the filter."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    kernel = w.shape[2:]
    outputs = tuple(
        (n - 1) * s - sum(p) + d * (k - 1) + extra + 1
        for n, k, s, p, extra, d in zip(x.shape[2:], kernel, stride, pads, output_padding, dilation)
    )
    filters = w.shape[1] * groups
    y = np.zeros((x.shape[0], filters, *outputs))
    if bias is not None:
        y += np.asarray(bias, np.float64).reshape(-1, *[1] * len(kernel))
    for o, k, where in looks(outputs, kernel, stride, pads, dilation, border, x.shape[2:]):
        if where is None:
            continue
        for c, f in shares(groups, x.shape[1], filters):
            y[(slice(None), f, *where)] += x[(slice(None), c, *o)] @ w[(c, slice(None), *k)]
    return y


def conv_transpose_backward(x, w, dy, stride, pads, dilation, groups=1, border="constant"):
    """Return dx, dw, db in float64."""
    x, w, dy = (np.asarray(a, np.float64) for a in (x, w, dy))
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for o, k, where in looks(dy.shape[2:], w.shape[2:], stride, pads, dilation, border, x.shape[2:]):
        if where is None:
            continue
        for c, f in shares(groups, x.shape[1], dy.shape[1]):
            d, taps = dy[(slice(None), f, *where)], (c, slice(None), *k)
            dx[(slice(None), c, *o)] += d @ w[taps].T
            dw[taps] += x[(slice(None), c, *o)].T @ d
    return dx, dw, dy.sum(axis=(0, *range(2, dy.ndim)))


def unfold(x, kernel, stride, pads, dilation, border="constant", border_value=0.0):
    """Return the windows as columns, (N, C * taps, windows), in x's dtype."""
    outputs = output_size(x.shape[2:], kernel, stride, pads, dilation)
    y = np.full((*x.shape[:2], *kernel, *outputs), border_value, x.dtype)
    for o, k, where in looks(x.shape[2:], kernel, stride, pads, dilation, border, outputs):
        if where is not None:
            y[(slice(None), slice(None), *k, *o)] = x[(slice(None), slice(None), *where)]
    return y.reshape(x.shape[0], x.shape[1] * int(np.prod(kernel)), int(np.prod(outputs)))


def fold(columns, size, kernel, stride, pads, dilation, border="constant"):
    """Return unfold's transpose applied to (N, C * taps, windows)."""
    outputs = output_size(size, kernel, stride, pads, dilation)
    taps = int(np.prod(kernel))
    n, c = columns.shape[0], columns.shape[1] // taps
    y = columns.reshape(n, c, *kernel, *outputs)
    x = np.zeros((n, c, *size), columns.dtype)
    for o, k, where in looks(size, kernel, stride, pads, dilation, border, outputs):
        if where is not None:
            x[(slice(None), slice(None), *where)] += y[(slice(None), slice(None), *k, *o)]
    return x

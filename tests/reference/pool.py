"""Pooling, window by window and element by element."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np


def output_size(n: int, k: int, s: int, d: int, before: int, after: int, ceil: bool) -> int:
    """Return torch's number of outputs along an axis."""
    room = n + before + after - d * (k - 1) - 1
    outputs = (-(-room // s) if ceil else room // s) + 1
    if ceil and (outputs - 1) * s >= n + before:
        outputs -= 1
    return outputs


def _windows(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    ceil: bool,
) -> tuple[tuple[int, ...], Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]]:
    """Return the output extents, and (output, positions inside the input in their order) of every window."""
    outputs = tuple(
        output_size(n, k, s, d, p[0], p[1], ceil)
        for n, k, s, d, p in zip(size, kernel, stride, dilation, pads)
    )

    def walk() -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
        for o in itertools.product(*map(range, outputs)):
            axes = [
                [p for t in range(k) if 0 <= (p := i * s - b[0] + t * d) < n]
                for i, n, k, s, d, b in zip(o, size, kernel, stride, dilation, pads)
            ]
            yield o, list(itertools.product(*axes))

    return outputs, walk()


def _first_maximum(values: np.ndarray) -> int:
    return int(np.argmax(values))  # the first NaN if there is one, else the first maximum


def max_pool(x, kernel, stride, pads, dilation, ceil=False):
    """Return maxima and flat positions; x is (N, C, *)."""
    size = x.shape[2:]
    outputs, windows = _windows(size, kernel, stride, pads, dilation, ceil)
    y = np.full(x.shape[:2] + outputs, -np.inf, x.dtype)
    positions = np.full(y.shape, -1, np.int64)
    for o, inside in windows:
        if not inside:
            continue
        flat = np.array([np.ravel_multi_index(p, size) for p in inside])
        for n, c in np.ndindex(x.shape[:2]):
            at = flat[_first_maximum(x[n, c].ravel()[flat])]
            y[(n, c, *o)] = x[n, c].ravel()[at]
            positions[(n, c, *o)] = at
    return y, positions


def max_pool_backward(x, dy, kernel, stride, pads, dilation, ceil=False):
    _, positions = max_pool(x, kernel, stride, pads, dilation, ceil)
    return scatter(x, dy, positions)


def scatter(x, dy, positions):
    """Return dx with dx[positions] += dy in every channel."""
    dx = np.zeros(x.shape, x.dtype)
    for n, c in np.ndindex(x.shape[:2]):
        p = positions[n, c].ravel()
        np.add.at(dx[n, c].reshape(-1), p[p >= 0], dy[n, c].ravel()[p >= 0])
    return dx


def _divisor(o, size, kernel, stride, pads, inside, count_include_pad, divisor_override):
    if divisor_override is not None:
        return divisor_override
    if not count_include_pad:
        return max(len(inside), 1)
    counts = [
        min(i * s - b[0] + k, n + b[1]) - (i * s - b[0])
        for i, n, k, s, b in zip(o, size, kernel, stride, pads)
    ]
    return int(np.prod(counts))


def avg_pool(x, kernel, stride, pads, ceil=False, count_include_pad=True, divisor_override=None):
    size = x.shape[2:]
    outputs, windows = _windows(size, kernel, stride, pads, [1] * len(size), ceil)
    y = np.zeros(x.shape[:2] + outputs, x.dtype)
    for o, inside in windows:
        divisor = _divisor(o, size, kernel, stride, pads, inside, count_include_pad, divisor_override)
        total = sum((x[(slice(None), slice(None), *p)] for p in inside), np.zeros(x.shape[:2], x.dtype))
        y[(slice(None), slice(None), *o)] = total / divisor
    return y


def avg_pool_backward(x, dy, kernel, stride, pads, ceil=False, count_include_pad=True, divisor_override=None):
    size = x.shape[2:]
    _, windows = _windows(size, kernel, stride, pads, [1] * len(size), ceil)
    dx = np.zeros_like(x)
    for o, inside in windows:
        divisor = _divisor(o, size, kernel, stride, pads, inside, count_include_pad, divisor_override)
        for p in inside:
            dx[(slice(None), slice(None), *p)] += dy[(slice(None), slice(None), *o)] / divisor
    return dx


def _adaptive_windows(size, outputs):
    for o in itertools.product(*map(range, outputs)):
        ranges = [range(i * n // out, -(-(i + 1) * n // out)) for i, n, out in zip(o, size, outputs)]
        yield o, list(itertools.product(*ranges))


def adaptive_max_pool(x, outputs):
    size = x.shape[2:]
    y = np.zeros(x.shape[:2] + tuple(outputs), x.dtype)
    positions = np.zeros(y.shape, np.int64)
    for o, inside in _adaptive_windows(size, outputs):
        flat = np.array([np.ravel_multi_index(p, size) for p in inside])
        for n, c in np.ndindex(x.shape[:2]):
            at = flat[_first_maximum(x[n, c].ravel()[flat])]
            y[(n, c, *o)] = x[n, c].ravel()[at]
            positions[(n, c, *o)] = at
    return y, positions


def adaptive_avg_pool(x, outputs):
    y = np.zeros(x.shape[:2] + tuple(outputs), x.dtype)
    for o, inside in _adaptive_windows(x.shape[2:], outputs):
        total = sum(x[(slice(None), slice(None), *p)] for p in inside)
        y[(slice(None), slice(None), *o)] = total / len(inside)
    return y


def adaptive_avg_pool_backward(x, dy, outputs):
    dx = np.zeros_like(x)
    for o, inside in _adaptive_windows(x.shape[2:], outputs):
        for p in inside:
            dx[(slice(None), slice(None), *p)] += dy[(slice(None), slice(None), *o)] / len(inside)
    return dx

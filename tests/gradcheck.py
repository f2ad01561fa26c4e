"""Gradients against central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tenfold


def numeric_pull(
    f: Callable[..., Any], arrays: list[np.ndarray], dy: np.ndarray, step: float
) -> list[np.ndarray]:
    """Return d<f(*arrays), dy> / d(array) by central differences, one array per argument."""
    gradients = []
    for i, array in enumerate(arrays):
        gradient = np.zeros_like(array)
        for position in np.ndindex(array.shape):
            moved = [a.copy() for a in arrays]
            moved[i][position] = array[position] + step
            above = np.asarray(f(*moved))
            moved[i][position] = array[position] - step
            below = np.asarray(f(*moved))
            gradient[position] = np.sum((above - below) * dy) / (2 * step)
        gradients.append(gradient)
    return gradients


def check_gradients(
    f: Callable[..., Any], *arrays: np.ndarray, step: float = 1e-5, rtol: float = 1e-7, seed: int = 0
) -> None:
    """Compare tenfold.vjp of f at float64 `arrays` with central differences, along a random d_output.

    The error of a central difference is about f''' step^2 / 6 for what Taylor leaves out and eps |f| / step
    for rounding: with step 1e-5 both are near 1e-11 for values and derivatives around 1. The tolerance,
    relative to the largest gradient (at least 1), leaves room for sums and larger third derivatives; a
    wrong factor or index is off by far more. Stay away from kinks (ReLU at 0, ties of a maximum) by more
    than `step`.
    """
    arrays64 = [np.array(a, dtype=np.float64) for a in arrays]
    y, pull = tenfold.vjp(f, *arrays64)
    dy = np.random.default_rng(seed).uniform(0.5, 1.5, np.shape(y))
    dy *= np.where(np.random.default_rng(seed + 1).random(np.shape(y)) < 0.5, -1.0, 1.0)
    actual = pull(dy)
    expected = numeric_pull(f, arrays64, dy, step)
    assert len(actual) == len(expected)
    for i, (a, e) in enumerate(zip(actual, expected)):
        assert a.shape == e.shape, f"gradient {i}: shape {a.shape}, expected {e.shape}"
        scale = max(1.0, float(np.max(np.abs(e), initial=0)))
        np.testing.assert_allclose(a, e, rtol=0, atol=rtol * scale, err_msg=f"gradient of argument {i}")

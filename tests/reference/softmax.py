"""Softmax and its logarithm, and their gradients, in float64."""

from __future__ import annotations

import numpy as np


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    x = np.asarray(x, np.float64)
    e = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    x = np.asarray(x, np.float64)
    moved = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
    return moved - np.log(np.exp(moved).sum(axis=axis, keepdims=True))


def softmax_gradient(x: np.ndarray, dy: np.ndarray, axis: int) -> np.ndarray:
    y = softmax(x, axis)
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


def log_softmax_gradient(x: np.ndarray, dy: np.ndarray, axis: int) -> np.ndarray:
    return dy - softmax(x, axis) * dy.sum(axis=axis, keepdims=True)

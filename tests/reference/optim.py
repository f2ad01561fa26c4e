"""Optimisers, as their papers and PyTorch's documentation write them, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def sgd(
    p: np.ndarray,
    gradients: Sequence[np.ndarray],
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> np.ndarray:
    p, b = np.array(p, np.float64), None
    for dp in gradients:
        g = dp + weight_decay * p
        if momentum:
            b = g.copy() if b is None else momentum * b + (1 - dampening) * g
            g = g + momentum * b if nesterov else b
        p = p - lr * g
    return p


def adam(
    p: np.ndarray,
    gradients: Sequence[np.ndarray],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> np.ndarray:
    p = np.array(p, np.float64)
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, dp in enumerate(gradients, 1):
        g = dp
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = dp + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        p = p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return p


def rmsprop(
    p: np.ndarray,
    gradients: Sequence[np.ndarray],
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> np.ndarray:
    p = np.array(p, np.float64)
    v, b = np.zeros_like(p), np.zeros_like(p)
    for dp in gradients:
        g = dp + weight_decay * p
        v = alpha * v + (1 - alpha) * g**2
        b = momentum * b + g / (np.sqrt(v) + eps)
        p = p - lr * b
    return p

"""Losses, accuracy and one-hot rows, position by position, in float64; gradients with respect to the prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tests.reference.softmax import log_softmax


def _positions(x: np.ndarray) -> tuple[int, list[tuple[int, ...]]]:
    """Return the class axis and the index of every prediction, without that axis."""
    axis = 0 if x.ndim == 1 else 1
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return axis, list(np.ndindex(shape))


def _at(position: tuple[int, ...], axis: int, c: int | slice) -> tuple[int | slice, ...]:
    return (*position[:axis], c, *position[axis:])


def cross_entropy(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    dy: np.ndarray | float = 1.0,
    of_log: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and gradient; `of_log`: x holds log-probabilities (negative log-likelihood)."""
    x = np.asarray(x, np.float64)
    axis, positions = _positions(x)
    classes = x.shape[axis]
    w = np.ones(classes) if weight is None else np.asarray(weight, np.float64)
    shares = np.asarray(target).dtype.kind == "f"
    logs = x if of_log else log_softmax(x, axis)
    losses = np.zeros(x.shape[:axis] + x.shape[axis + 1 :])
    slopes = np.zeros_like(x)
    count = 0.0
    for p in positions:
        if shares:
            t = np.asarray(target, np.float64)[_at(p, axis, slice(None))]
            count += 1
        else:
            label = int(target[p])
            if label == ignore_index:
                continue
            t = np.eye(classes)[label]
            count += w[label]
        a = w * ((1 - label_smoothing) * t + label_smoothing / classes)
        row = _at(p, axis, slice(None))
        losses[p] = -(a * logs[row]).sum()
        slopes[row] = -a if of_log else np.exp(logs[row]) * a.sum() - a
    if reduction == "none":
        return losses, slopes * np.expand_dims(np.asarray(dy), axis)
    scale = 1.0 if reduction == "sum" else np.float64(1) / np.float64(count)
    return losses.sum() * scale, slopes * scale * dy


def accuracy(x: np.ndarray, target: np.ndarray, k: int = 1, ignore_index: int = -100) -> float:
    axis, positions = _positions(x)
    hits = []
    for p in positions:
        if target[p] == ignore_index:
            continue
        row = x[_at(p, axis, slice(None))]
        best = sorted(range(len(row)), key=lambda c: -row[c])[:k]  # stable: the first of equals comes first
        hits.append(target[p] in best)
    return float(np.mean(hits))


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    y = np.zeros((*labels.shape, classes))
    for p in np.ndindex(labels.shape):
        y[(*p, labels[p])] = 1
    return y


def _smooth_l1(x: np.ndarray, t: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    d = x - t
    near = np.abs(d) < beta
    slope = np.where(near, d / (beta or 1), np.sign(d))
    return np.where(near, d**2 / (2 * (beta or 1)), np.abs(d) - beta / 2), slope, -slope


def _huber(x: np.ndarray, t: np.ndarray, delta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    value, slope, back = _smooth_l1(x, t, delta)
    return delta * value, delta * slope, delta * back


def _bce(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(x), -100), np.maximum(np.log(1 - x), -100)
    return -(t * yes + (1 - t) * no), (x - t) / np.maximum(x * (1 - x), 1e-12), no - yes


def _bce_with_logits(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.logaddexp(0, x) - x * t, np.exp(-np.logaddexp(0, -x)) - t, -x


# name -> (x, t, parameter...) -> value, d/dx, d/dt of every element
POINTWISE: dict[str, Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]] = {
    "mse_loss": lambda x, t: ((x - t) ** 2, 2 * (x - t), 2 * (t - x)),
    "l1_loss": lambda x, t: (np.abs(x - t), np.sign(x - t), np.sign(t - x)),
    "smooth_l1_loss": _smooth_l1,
    "huber_loss": _huber,
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_with_logits,
}

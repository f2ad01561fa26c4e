"""Confusion counts and their words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_BATCH = 256


def logits(model: Any, x: Array) -> Array:
    """Return the model's outputs for all images, a batch at a time."""
    parts = [np.asarray(model(x[i : i + _BATCH])) for i in range(0, len(x), _BATCH)]
    return np.concatenate(parts) if parts else np.asarray(model(x))


def confusion(predicted: Array, y: Array, classes: int) -> Array:
    """Return the counts (true class, predicted class)."""
    return np.bincount(y * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def describe(matrix: Array, classes: Sequence[str]) -> str:
    """Return a table: recall per class, and what its images are most often taken for."""
    width = max(5, *map(len, classes))
    lines = [f"{'class':<{width}}  images    recall  taken for"]
    for i, name in enumerate(classes):
        total = int(matrix[i].sum())
        wrong = [(int(matrix[i, j]), j) for j in range(len(classes)) if j != i and matrix[i, j]]
        others = ", ".join(f"{classes[j]} ({n})" for n, j in sorted(wrong, key=lambda w: (-w[0], w[1]))[:3])
        recall = f"{100 * matrix[i, i] / total:6.2f} %" if total else "       -"
        lines.append(f"{name:<{width}}  {total:>6}  {recall}  {others}".rstrip())
    pairs = [
        (int(matrix[i, j]), i, j)
        for i in range(len(classes))
        for j in range(len(classes))
        if i != j and matrix[i, j]
    ]
    pairs.sort(key=lambda p: (-p[0], p[1], p[2]))
    if pairs:
        shown = ", ".join(f"{classes[i]} taken for {classes[j]} ({n} ×)" for n, i, j in pairs[:5])
        lines.append(f"most frequent confusions: {shown}")
    return "\n".join(lines)

"""Batch normalisation, channel by channel, in float64; and the random words of dropout."""

from __future__ import annotations

import numpy as np


def batch_norm(
    x: np.ndarray,
    running_mean: np.ndarray | None,
    running_var: np.ndarray | None,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return y and the new running statistics."""
    x = np.asarray(x, np.float64)
    y = np.empty_like(x)
    new_mean = None if running_mean is None else np.array(running_mean, np.float64)
    new_var = None if running_var is None else np.array(running_var, np.float64)
    for c in range(x.shape[1]):
        v = x[:, c]
        mean, var = (v.mean(), v.var()) if training else (running_mean[c], running_var[c])
        y[:, c] = (v - mean) / np.sqrt(var + eps)
        if weight is not None:
            y[:, c] *= weight[c]
        if bias is not None:
            y[:, c] += bias[c]
        if training and new_mean is not None:
            new_mean[c] = (1 - momentum) * new_mean[c] + momentum * mean
            new_var[c] = (1 - momentum) * new_var[c] + momentum * v.var(ddof=1)
    return y, new_mean, new_var


def batch_norm_gradient(
    x: np.ndarray,
    running_mean: np.ndarray | None,
    running_var: np.ndarray | None,
    weight: np.ndarray | None,
    training: bool,
    eps: float,
    dy: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dx, dweight, dbias."""
    x, dy = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    dx = np.empty_like(x)
    dweight, dbias = np.empty(x.shape[1]), np.empty(x.shape[1])
    for c in range(x.shape[1]):
        v, d = x[:, c], dy[:, c]
        mean, var = (v.mean(), v.var()) if training else (running_mean[c], running_var[c])
        inverse = 1 / np.sqrt(var + eps)
        normal = (v - mean) * inverse
        dbias[c], dweight[c] = d.sum(), (d * normal).sum()
        inner = d - d.mean() - normal * (d * normal).mean() if training else d
        dx[:, c] = inner * inverse * (1.0 if weight is None else weight[c])
    return dx, dweight, dbias


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Return the four words of Philox 4x32-10 (Salmon et al., SC 2011)."""
    c, k, word = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & word, p0 >> 32 ^ c[3] ^ k[1], p0 & word]
        k = [k[0] + 0x9E3779B9 & word, k[1] + 0xBB67AE85 & word]
    return c


def kept(count: int, p: float, seed: int, stream: int, step: int) -> np.ndarray:
    """Return which elements dropout keeps."""
    mask = np.empty(count, bool)
    for i in range(count):
        group, j = divmod(i, 64)
        counter = (16 * group + j % 16, stream, step & 0xFFFFFFFF, step >> 32)
        mask[i] = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))[j // 16] >= np.floor(p * 2**32)
    return mask

"""Plain NumPy: functions of one variable, arithmetic and reductions, each with its gradient.

A function of one variable is a pair (value(x), slope(x)); everything is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def sigmoid(x: Any) -> Any:
    return np.exp(-np.logaddexp(0, -x))


def phi(x: Any) -> Any:
    return _erfc(-x / math.sqrt(2)) / 2


def relu(at_zero: float = 1.0) -> Pair:
    return (lambda x: np.where(x < 0, 0, x), lambda x: np.where(x > 0, 1, np.where(x == 0, at_zero, 0)))


def leaky_relu(slope: float = 0.01) -> Pair:
    return (lambda x: np.where(x > 0, x, slope * x), lambda x: np.where(x > 0, 1, slope))


def elu(alpha: float = 1.0) -> Pair:
    return (
        lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))),
    )


def gelu() -> Pair:
    return (lambda x: x * phi(x), lambda x: phi(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def gelu_tanh() -> Pair:
    c = math.sqrt(2 / math.pi)

    def slope(x: Any) -> Any:
        t = np.tanh(c * (x + 0.044715 * x**3))
        return (1 + t) / 2 + x / 2 * (1 - t * t) * c * (1 + 3 * 0.044715 * x**2)

    return (lambda x: x / 2 * (1 + np.tanh(c * (x + 0.044715 * x**3))), slope)


def softplus(beta: float = 1.0, threshold: float = 20.0) -> Pair:
    return (
        lambda x: np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta),
        lambda x: np.where(beta * x > threshold, 1, sigmoid(beta * x)),
    )


def clip(low: float, high: float) -> Pair:
    return (lambda x: np.clip(x, low, high), lambda x: np.where((x < low) | (x > high), 0.0, 1.0))


def power(p: float) -> Pair:
    return (lambda x: x**p, lambda x: p * x ** (p - 1) if p else 0 * x)


SILU: Pair = (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x)))
SIGMOID: Pair = (sigmoid, lambda x: sigmoid(x) * sigmoid(-x))
TANH: Pair = (np.tanh, lambda x: 1 - np.tanh(x) ** 2)
EXP: Pair = (np.exp, np.exp)
LOG: Pair = (np.log, lambda x: 1 / x)
SQRT: Pair = (np.sqrt, lambda x: 0.5 / np.sqrt(x))
ABS: Pair = (np.abs, np.sign)
NEG: Pair = (np.negative, lambda x: -np.ones_like(x))
SQUARE: Pair = (np.square, lambda x: 2 * x)
RECIPROCAL: Pair = (np.reciprocal, lambda x: -1 / x**2)
SIN: Pair = (np.sin, np.cos)
COS: Pair = (np.cos, lambda x: -np.sin(x))


def unbroadcast(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Sum a gradient over the axes along which an operand of `shape` was repeated."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=axes, keepdims=True)


# kind: (value(a, b), da(a, b, dy), db(a, b, dy))
BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "add": (np.add, lambda a, b, dy: dy, lambda a, b, dy: dy),
    "sub": (np.subtract, lambda a, b, dy: dy, lambda a, b, dy: -dy),
    "mul": (np.multiply, lambda a, b, dy: dy * b, lambda a, b, dy: dy * a),
    "div": (np.divide, lambda a, b, dy: dy / b, lambda a, b, dy: -dy * a / b**2),
    "maximum": (np.maximum, lambda a, b, dy: dy * (a >= b), lambda a, b, dy: dy * (a < b)),
    "minimum": (np.minimum, lambda a, b, dy: dy * (a <= b), lambda a, b, dy: dy * (a > b)),
    "pow": (np.power, lambda a, b, dy: dy * b * a ** (b - 1), lambda a, b, dy: dy * a**b * np.log(a)),
}


def binary_gradients(kind: str, a: Any, b: Any, dy: Any) -> tuple[Any, Any]:
    _, da, db = BINARY[kind]
    return unbroadcast(da(a, b, dy) + 0 * dy, a.shape), unbroadcast(db(a, b, dy) + 0 * dy, b.shape)


def reduce_gradient(kind: str, x: Any, axis: Any, dy: Any) -> Any:
    """Return the gradient of a reduction; dy has the shape that keepdims=True gives."""
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = tuple(a % x.ndim for a in axes)
    if kind in ("sum", "mean"):
        count = math.prod(x.shape[a] for a in axes) if kind == "mean" else 1
        return np.broadcast_to(dy / count, x.shape)
    # The first extreme element: bring the folded axes behind the others and flatten them.
    kept = [a for a in range(x.ndim) if a not in axes]
    order = kept + sorted(axes)
    moved = x.transpose(order).reshape([x.shape[a] for a in kept] + [-1])
    first = moved.argmax(-1) if kind == "max" else moved.argmin(-1)
    dx = np.zeros(moved.shape)
    np.put_along_axis(dx, first[..., None], dy.reshape(first.shape)[..., None], -1)
    return dx.reshape([x.shape[a] for a in order]).transpose(np.argsort(order).tolist())

"""Checks and conversions of arguments that every functional shares.

Types and the forms of arguments (an int or one per axis) are checked here; values and shapes are checked once, by the
C++ operation.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from ..graph import Array, Attributes, Symbol, Variable

Tensor = Array | Symbol | Variable
IntOrInts = int | Sequence[int]
Padding = int | str | Sequence[Any]

BORDERS = ("valid", "constant", "reflect", "symmetric", "replicate", "circular")


_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def tensor(value: Any, function: str, argument: str) -> Tensor:
    """Return a floating tensor as it is, in native byte order; refuse all else."""
    # The usual case first: it is most of what a call with small arrays costs.
    if type(value) is np.ndarray and (value.dtype is _FLOAT32 or value.dtype is _FLOAT64):
        return value
    if isinstance(value, (Symbol, Variable)):
        return value
    if not isinstance(value, np.ndarray):
        if isinstance(value, np.floating):
            return np.asarray(value)
        raise TypeError(
            f"{function}: {argument} must be a float32 or float64 array; received {type(value).__name__}"
        )
    native = value.dtype.newbyteorder("=")
    if native not in (np.float32, np.float64):
        raise TypeError(
            f"{function}: {argument} must be a float32 or float64 array; received dtype {value.dtype}"
        )
    return value.astype(native, copy=False)


def int_tensor(value: Any, function: str, argument: str) -> Tensor:
    """Return labels or indices as int64; refuse floats, booleans and objects."""
    if isinstance(value, (Symbol, Variable)):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{function}: {argument} must be an integer array; received dtype {array.dtype}")
    return array.astype(np.int64, copy=False)


def is_number(value: Any) -> bool:
    """Whether this is a real number, not an array, a boolean or a string."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def number(value: Any, function: str, argument: str) -> float:
    """Return a float; refuse arrays, booleans and strings."""
    if not is_number(value):
        raise TypeError(f"{function}: {argument} must be a number; received {value!r}")
    return float(value)


def integer(value: Any, function: str, argument: str) -> int:
    """Return an int of at most 64 bits; refuse floats and booleans."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{function}: {argument} must be an int; received {value!r}")
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {argument} must be an int; received {value!r}") from None
    if not -(2**63) <= result < 2**63:
        raise ValueError(f"{function}: {argument} must fit into 64 bits; received {value!r}")
    return result


def integers(value: Any, function: str, argument: str) -> list[int]:
    """Return a list of ints from a sequence of them; refuse all else."""
    if (
        isinstance(value, (str, bytes))
        or not isinstance(value, (Sequence, np.ndarray))
        or np.shape(value) == ()
    ):
        raise TypeError(f"{function}: {argument} must be an int or a sequence of ints; received {value!r}")
    return [integer(v, function, argument) for v in value]


def per_axis(value: IntOrInts, rank: int, function: str, argument: str) -> list[int]:
    """Return one int per axis from an int or a sequence of `rank` ints."""
    if isinstance(value, (int, np.integer)):
        return [integer(value, function, argument)] * rank
    values = integers(value, function, argument)
    if len(values) == 1:
        values = values * rank
    if len(values) != rank:
        raise ValueError(
            f"{function}: {argument} must be an int or {rank} ints, one per axis; received {value!r}"
        )
    return values


def pads(
    padding: Padding,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    border: str,
    function: str,
) -> list[int]:
    """Return (before, after) per axis, flat, from every form a padding may have.

    ``"same"`` gives ceil(size / stride) outputs, the odd element of padding behind; ``"valid"``, and any padding with
    border ``"valid"``, gives none.
    """
    rank = len(size)
    if not isinstance(border, str) or border not in BORDERS:
        raise ValueError(
            f"{function}: border must be one of {', '.join(map(repr, BORDERS))}; received {border!r}"
        )
    if border == "valid":
        return [0] * (2 * rank)
    if isinstance(padding, str):
        if padding == "valid":
            return [0] * (2 * rank)
        if padding != "same":
            raise ValueError(
                f"{function}: padding must be an int, one int or (before, after) pair per axis, 'same' or 'valid'; "
                f"received {padding!r}"
            )
        flat = []
        for n, k, s, d in zip(size, kernel, stride, dilation):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) if s > 0 else 0
            flat += [total // 2, total - total // 2]
        return flat
    if isinstance(padding, Sequence) and any(isinstance(p, Sequence) for p in padding):
        if len(padding) != rank or not all(isinstance(p, Sequence) and len(p) == 2 for p in padding):
            raise ValueError(
                f"{function}: padding must be an int, one int or (before, after) pair per axis, 'same' or 'valid'; "
                f"received {padding!r}"
            )
        return [integer(side, function, "padding") for pair in padding for side in pair]
    return [side for p in per_axis(cast("IntOrInts", padding), rank, function, "padding") for side in (p, p)]


_PLAIN = frozenset({int, float, str, bool, type(None)})
_INT = frozenset({int})


def _is_negative_zero(value: Any) -> bool:
    return type(value) is float and value == 0.0 and math.copysign(1.0, value) < 0


def remembered(check: Callable[..., Mapping[str, Any]]) -> Callable[..., Attributes]:
    """Return a function of shapes and settings that makes an operation's attributes; like calls are checked once.

    `check` takes the shapes, a tuple of tuples, and the settings. What may be refused though it equals what is legal,
    as a True within a tuple, is checked every time, and so is what has no hash, and -0.0, which equals 0.0.
    """
    known = functools.lru_cache(maxsize=256, typed=True)(lambda *arguments: Attributes(check(*arguments)))

    def attributes(shapes: tuple[tuple[int, ...], ...], *settings: Any) -> Attributes:
        types = {*map(type, settings)}
        plain = _PLAIN.issuperset(types) or all(
            type(s) in _PLAIN or (type(s) is tuple and _INT.issuperset(map(type, s))) for s in settings
        )
        if plain and not (float in types and 0.0 in settings and any(map(_is_negative_zero, settings))):
            return known(shapes, *settings)
        return Attributes(check(shapes, *settings))

    return attributes


def core_border(border: str) -> str:
    """Return the border the core knows: 'valid' is a padding of nothing."""
    return "constant" if border == "valid" else border

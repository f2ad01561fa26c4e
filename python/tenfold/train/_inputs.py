"""What a Trainer accepts as data, and the order in which it takes the samples."""

from __future__ import annotations

import operator
import zlib
from typing import Any

import numpy as np

from ..graph import Array


def integer(value: Any, where: str, argument: str, least: int) -> int:
    """Return an int that is at least `least`."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{where}: {argument} must be an int; received {value!r}") from None
    if number < least:
        raise ValueError(f"{where}: {argument} must be at least {least}; received {number}")
    return number


def images(value: Any, dtype: np.dtype[Any] | None, where: str, argument: str) -> Array:
    """Return samples as a native, C-contiguous array of the model's dtype; copy only where needed."""
    x = np.asarray(value)
    native = x.dtype.newbyteorder("=") if x.dtype.kind == "f" else x.dtype
    if native not in (np.float32, np.float64):
        raise TypeError(f"{where}: {argument} must be a float32 or float64 array; received dtype {x.dtype}")
    if dtype is not None and native != dtype:
        raise TypeError(
            f"{where}: {argument} must be {dtype}, as the model's parameters are; received dtype {x.dtype}"
        )
    if x.ndim < 1:
        raise ValueError(f"{where}: {argument} must have a first axis of samples; received a single number")
    return np.ascontiguousarray(x, dtype=native)


def pair(data: Any, dtype: np.dtype[Any] | None, where: str, argument: str) -> tuple[Array, Array]:
    """Return (x, y) of a data set or an (x, y) tuple: y is int64 (labels) or of x's dtype (targets)."""
    if hasattr(data, "x") and hasattr(data, "y"):
        x, y = data.x, data.y
    elif isinstance(data, (tuple, list)) and len(data) == 2:
        x, y = data
    else:
        raise TypeError(
            f"{where}: {argument} must be a data set with x and y, or a tuple (x, y); received "
            f"{type(data).__name__}"
        )
    x = images(x, dtype, where, f"{argument}.x")
    y = np.asarray(y)
    if y.dtype.kind in "iu":
        y = np.ascontiguousarray(y, dtype=np.int64)
    elif y.dtype.kind == "f" and y.dtype.itemsize in (4, 8):
        y = np.ascontiguousarray(y, dtype=x.dtype)
    else:
        raise TypeError(
            f"{where}: {argument}.y must be integer labels or float32 / float64 targets; received dtype "
            f"{y.dtype}"
        )
    if y.ndim < 1 or len(x) != len(y):
        raise ValueError(
            f"{where}: {argument}.x and {argument}.y must have the same number of samples; "
            f"received shapes {x.shape} and {y.shape}"
        )
    if len(x) == 0:
        raise ValueError(f"{where}: {argument} must not be empty; received shapes {x.shape} and {y.shape}")
    return x, y


def labels_in_range(y: Array, output: tuple[int, ...], ignore: int | None, where: str, argument: str) -> None:
    """Refuse labels that are no class of an output of shape (N, classes, ...)."""
    if y.dtype != np.int64 or len(output) < 2 or y.shape[1:] != tuple(output[2:]):
        return
    classes = output[1]
    wrong = (y < 0) | (y >= classes)
    if ignore is not None:
        wrong &= y != ignore
    if wrong.any():
        where_first = np.unravel_index(int(np.argmax(wrong)), y.shape)
        position = ", ".join(str(int(i)) for i in where_first)
        raise ValueError(
            f"{where}: {argument} must hold labels from 0 to {classes - 1}, as the model has {classes} "
            f"outputs; "
            f"received {int(y[where_first])} at [{position}]"
        )


def epoch_order(count: int, seed: int, epoch: int) -> Array:
    """Return the order of an epoch's samples: a pure function of (count, seed, epoch).

    Sample i gets the i-th number of a Philox sequence; the samples are taken in the order of their numbers.
    (The raw sequence is fixed for ever, which NumPy does not promise of ``permutation``.)
    """
    return sorting_order(np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(count))


def sorting_order(keys: Array) -> Array:
    """Return the order that sorts 64-bit numbers, equal ones as they come: for random ones faster than ``argsort``.

    A stable sort by 16 bits after the other, which NumPy counts instead of comparing; by the upper 32 alone, if no two
    numbers share them.
    """
    digits = np.ascontiguousarray(keys.astype("<u8", copy=False).view("<u2").reshape(len(keys), 4).T)
    order = _order_by_digits(digits[2:])
    upper = (keys >> np.uint64(32))[order]
    if (upper[1:] == upper[:-1]).any():
        order = _order_by_digits(digits)
    return order.astype(np.int64, copy=False)


def _order_by_digits(digits: Array) -> Array:
    """Return the order that sorts numbers by their digits, of which the last counts most."""
    order = np.argsort(digits[0], kind="stable")
    for digit in digits[1:]:
        order = order[np.argsort(digit[order], kind="stable")]
    return order


def fingerprint(x: Array, y: Array) -> list[Any]:
    """Return shapes, dtypes and a checksum of a few samples: enough to notice other data."""
    chosen = np.linspace(0, len(x) - 1, min(len(x), 32)).astype(np.int64)
    check = zlib.crc32(y[chosen].tobytes(), zlib.crc32(x[chosen].tobytes()))
    return [list(x.shape), str(x.dtype), list(y.shape), str(y.dtype), check]

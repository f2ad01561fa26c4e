"""Functions from arrays to arrays; given a symbol, the same functions record a graph."""

from ._activation import relu
from ._linear import linear, matmul
from ._shape import (
    broadcast_to,
    cat,
    chunk,
    concat,
    expand,
    flatten,
    flip,
    getitem,
    pad,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    tile,
    transpose,
    unflatten,
    unsqueeze,
)

__all__ = [
    "broadcast_to",
    "cat",
    "chunk",
    "concat",
    "expand",
    "flatten",
    "flip",
    "getitem",
    "linear",
    "matmul",
    "pad",
    "permute",
    "relu",
    "reshape",
    "split",
    "squeeze",
    "stack",
    "tile",
    "transpose",
    "unflatten",
    "unsqueeze",
]

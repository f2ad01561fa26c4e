"""Layers with the names, arguments and parameter layouts of torch.nn."""

from ..graph import Buffer, Parameter
from . import init
from ._activation import ReLU
from ._linear import Linear
from ._module import Module, Sequential
from ._shape import (
    CircularPad2d,
    Concat,
    ConstantPad2d,
    Flatten,
    ReflectionPad2d,
    ReplicationPad2d,
    Unflatten,
    ZeroPad2d,
)

__all__ = [
    "Buffer",
    "CircularPad2d",
    "Concat",
    "ConstantPad2d",
    "Flatten",
    "Linear",
    "Module",
    "Parameter",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "Unflatten",
    "ZeroPad2d",
    "init",
]

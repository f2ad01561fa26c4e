"""Layers with the names, arguments and parameter layouts of torch.nn."""

from ..graph import Buffer, Parameter
from . import init
from ._activation import ELU, GELU, Add, Identity, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
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
    "ELU",
    "GELU",
    "Add",
    "Buffer",
    "CircularPad2d",
    "Concat",
    "ConstantPad2d",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "Module",
    "Parameter",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Unflatten",
    "ZeroPad2d",
    "init",
]

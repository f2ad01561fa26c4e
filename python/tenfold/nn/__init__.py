"""Layers with the names, arguments and parameter layouts of torch.nn."""

from ..graph import Buffer, Parameter
from . import init
from ._activation import ELU, GELU, Add, Identity, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from ._linear import Linear
from ._loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
    Softmax,
)
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
    "Add",
    "BCELoss",
    "BCEWithLogitsLoss",
    "Buffer",
    "CircularPad2d",
    "Concat",
    "ConstantPad2d",
    "CrossEntropyLoss",
    "ELU",
    "Flatten",
    "GELU",
    "HuberLoss",
    "Identity",
    "L1Loss",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
    "Unflatten",
    "ZeroPad2d",
    "init",
]

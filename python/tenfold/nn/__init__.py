"""Layers with the names, arguments and parameter layouts of torch.nn."""

from ..graph import Buffer, Parameter
from ._activation import ReLU
from ._module import Module, Sequential

__all__ = ["Buffer", "Module", "Parameter", "ReLU", "Sequential"]

"""Convolutional neural networks on a CPU, in one small wheel."""

from . import functional
from ._core import num_threads, set_num_threads
from ._random import manual_seed
from .graph import Function, grad, summary, value_and_grad, vjp

__version__ = "0.1.0"

__all__ = [
    "Function",
    "functional",
    "grad",
    "manual_seed",
    "num_threads",
    "set_num_threads",
    "summary",
    "value_and_grad",
    "vjp",
]

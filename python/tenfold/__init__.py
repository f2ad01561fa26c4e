"""Convolutional neural networks on a CPU, in one small wheel."""

from . import functional
from ._core import num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = ["functional", "num_threads", "set_num_threads"]

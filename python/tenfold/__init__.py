"""Convolutional neural networks on a CPU, in one small wheel."""

from typing import TYPE_CHECKING, Any

from . import functional, graph
from ._config import show_config
from ._core import num_threads, set_num_threads
from ._random import manual_seed
from .graph import Function, grad, summary, value_and_grad, vjp

__version__ = "0.1.0"

__all__ = [
    "Function",
    "data",
    "functional",
    "grad",
    "graph",
    "io",
    "manual_seed",
    "models",
    "nn",
    "num_threads",
    "optim",
    "plot",
    "set_num_threads",
    "show_config",
    "summary",
    "train",
    "value_and_grad",
    "vjp",
]

if TYPE_CHECKING:
    from . import data, io, models, nn, optim, plot, train

_LAZY = ("cli", "data", "io", "models", "nn", "optim", "plot", "train")


def __getattr__(name: str) -> Any:
    """Import a submodule when it is first used, so that ``import tenfold`` stays quick."""
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})

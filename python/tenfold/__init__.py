"""Convolutional neural networks on a CPU, in one small wheel."""

from typing import TYPE_CHECKING, Any

from ._config import show_config
from ._core import num_threads, set_num_threads
from ._random import manual_seed

if TYPE_CHECKING:
    from . import data, functional, graph, io, models, nn, optim, plot, train
    from .graph import Function, grad, profile, summary, value_and_grad, vjp

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
    "profile",
    "set_num_threads",
    "show_config",
    "summary",
    "train",
    "value_and_grad",
    "vjp",
]

_OF_GRAPH = ("Function", "grad", "profile", "summary", "value_and_grad", "vjp")
_MODULES = ("cli", "data", "functional", "graph", "io", "models", "nn", "optim", "plot", "train")


def __getattr__(name: str) -> Any:
    """Import a part of tenfold when it is first used, so that ``import tenfold`` stays quick."""
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _OF_GRAPH:
        value = getattr(importlib.import_module(f"{__name__}.graph"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_OF_GRAPH})

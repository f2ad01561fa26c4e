"""The other libraries, each optional: what is not installed is left out, with a line that says so."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_found: dict[str, ModuleType | None] = {}
# Contestants that --without names are left out too.
left_out: set[str] = set()


def library(name: str) -> ModuleType | None:
    """Return a module, or None where it is not installed; says so once."""
    if name not in _found:
        try:
            _found[name] = None if name in left_out else importlib.import_module(name)
        except ImportError as error:
            _found[name] = None
            print(f"left out: {name} ({error})", file=sys.stderr, flush=True)
    return _found[name]


def versions() -> dict[str, str]:
    """Return the version of every library that has been asked for and is there."""
    return {name: str(getattr(module, "__version__", "?")) for name, module in _found.items() if module}


def set_threads(threads: int) -> None:
    import tenfold

    tenfold.set_num_threads(threads)
    torch = library("torch")
    if torch:
        torch.set_num_threads(threads)

"""What this installation of tenfold is and runs on."""

from __future__ import annotations

import platform
import sys

import numpy as np

from . import _core


def config() -> dict[str, str]:
    """Return the facts that :func:`show_config` prints, by name."""
    from . import __version__

    return {
        "tenfold": __version__,
        "processor": _core.cpu_name(),
        "instruction set": f"{_core.isa()} (of {', '.join(_core.available_isas())})",
        "threads": str(_core.num_threads()),
        "OpenMP": "yes" if _core.has_openmp() else "no, everything runs on one thread",
        "compiler": _core.compiler(),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "NumPy": np.__version__,
    }


def show_config() -> None:
    """Print version, processor, instruction set, threads and compiler: what a bug report should have.

    Examples
    --------
    >>> import tenfold
    >>> tenfold.show_config()  # doctest: +ELLIPSIS
    tenfold          0.1.0
    ...
    """
    facts = config()
    width = max(map(len, facts))
    sys.stdout.write("".join(f"{name:<{width}}  {value}\n" for name, value in facts.items()))

"""The one generator behind initial weights, shuffles and eager dropout."""

from __future__ import annotations

import numpy as np

_generator: np.random.Generator | None = None  # made when first needed: numpy.random is slow to import


def manual_seed(seed: int) -> None:
    """Restart the generator that initialises weights and seeds eager random operations.

    Parameters
    ----------
    seed : int
        Non-negative. The same seed gives the same numbers on every machine.
    """
    global _generator  # noqa: PLW0603
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """Return the current generator."""
    if _generator is None:
        manual_seed(0)
        assert _generator is not None
    return _generator


def next_seed() -> int:
    """Draw a seed for one random operation."""
    return int(generator().integers(2**63))

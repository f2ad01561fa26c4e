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

    Raises
    ------
    TypeError, ValueError
        If the seed is no int, or negative.

    Examples
    --------
    >>> import tenfold
    >>> from tenfold import nn
    >>> tenfold.manual_seed(1)
    >>> a = nn.Linear(2, 1).weight.data[0, 0]
    >>> tenfold.manual_seed(1)
    >>> bool(a == nn.Linear(2, 1).weight.data[0, 0])
    True
    """
    global _generator  # noqa: PLW0603
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"manual_seed: seed must be an int; received {seed!r}")
    if seed < 0:
        raise ValueError(f"manual_seed: seed must be at least 0; received {seed}")
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

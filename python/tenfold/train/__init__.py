"""Training: the Trainer, its callbacks, and the history of a run."""

from ._history import History

__all__ = ["History"]

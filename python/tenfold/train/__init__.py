"""Training: the Trainer, its callbacks, and the history of a run."""

from ._callbacks import Callback, Checkpoint, CSVLogger, EarlyStopping, JSONLogger, ProgressBar
from ._history import History
from ._trainer import NonFiniteLossError, Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "NonFiniteLossError",
    "ProgressBar",
    "Trainer",
]

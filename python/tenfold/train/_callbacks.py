"""Callbacks: what happens beside training."""

from __future__ import annotations

import errno
import importlib.util
import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io._files import PathLike

if TYPE_CHECKING:
    from ._trainer import Trainer


class Callback:
    """Base of all callbacks: override the hooks that are wanted.

    Hooks see the trainer: ``trainer.epoch`` (epochs completed), ``trainer.epochs`` (wanted), ``trainer.step``
    (steps since training began), ``trainer.step_in_epoch``, ``trainer.steps_per_epoch``, ``trainer.logs``
    (averages of the running epoch), ``trainer.history``, ``trainer.model``. Setting ``trainer.stop = True``
    ends training after the hook. Nothing that a hook does changes the order of the samples.
    """

    def on_train_begin(self, trainer: Trainer) -> None:
        """Before the first step, after a checkpoint was resumed."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before an epoch's first step, or its first after resuming."""

    def on_steps(self, trainer: Trainer) -> None:
        """After some steps: about ten times a second, or after every step where these are slower."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After an epoch and its validation; ``trainer.history.epochs[-1]`` is its row."""

    def on_train_end(self, trainer: Trainer) -> None:
        """After training, however it ended (``interrupted``, ``error``); the last callback comes first."""

    def steps_to_next(self, trainer: Trainer) -> int | None:
        """Return after how many steps at the latest :meth:`on_steps` is wanted, or None."""
        return None

    def state(self) -> dict[str, Any]:
        """Return what an exact resume needs: numbers, text and arrays."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` returned."""


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e-3 and value else f"{value:.4f}"


def _duration(seconds: float) -> str:
    seconds = int(seconds + 0.5)
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class ProgressBar(Callback):
    """Loss, metrics, images per second and time left; one plain line per epoch where no terminal is.

    Parameters
    ----------
    file : text file, optional
        ``sys.stderr`` by default. A bar is drawn if it is a terminal and tqdm is installed.
    """

    def __init__(self, file: Any = None) -> None:
        self.file = file
        self._bar: Any = None

    def _write(self, text: str) -> None:
        print(text, file=self.file or sys.stderr, flush=True)

    def _live(self) -> bool:
        file = self.file or sys.stderr
        return bool(getattr(file, "isatty", lambda: False)()) and importlib.util.find_spec("tqdm") is not None

    def on_epoch_begin(self, trainer: Trainer) -> None:
        if not self._live():
            return
        import tqdm

        self._bar = tqdm.tqdm(
            desc=f"epoch {trainer.epoch + 1}/{trainer.epochs}",
            total=trainer.samples,
            initial=trainer.samples_done,
            unit="",
            dynamic_ncols=True,
            leave=False,
            mininterval=0,
            file=self.file or sys.stderr,
            bar_format="{desc} {percentage:3.0f}% {bar} {unit}",
        )
        self._from, self._since = trainer.samples_done, time.perf_counter()

    def on_steps(self, trainer: Trainer) -> None:
        if self._bar is None:
            return
        rate = (trainer.samples_done - self._from) / max(time.perf_counter() - self._since, 1e-9)
        left = (trainer.epochs - trainer.epoch) * trainer.samples - trainer.samples_done
        values = [f"{name} {_number(value)}" for name, value in trainer.logs.items()]
        values += [f"{rate:,.0f} images/s", f"{_duration(left / max(rate, 1e-9))} left"]
        self._bar.unit = ", ".join(values)
        self._bar.update(trainer.samples_done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._close()
        row = trainer.history.epochs[-1]
        width = len(str(trainer.epochs))
        values = [
            f"{name.replace('_', ' ')} {_number(value)}"
            for name, value in row.items()
            if name not in ("epoch", "step", "learning_rate", "seconds", "images_per_second")
        ]
        self._write(
            f"epoch {row['epoch']:>{width}}/{trainer.epochs}: {', '.join(values)}, "
            f"{row['images_per_second']:,.0f} images/s, {row['seconds']:.1f} s"
        )

    def on_train_end(self, trainer: Trainer) -> None:
        self._close()
        if trainer.interrupted:
            self._write(
                f"interrupted after {trainer.step} steps, in epoch {trainer.epoch + 1}/{trainer.epochs}; "
                "the model keeps what it has learnt"
            )


class Checkpoint(Callback):
    """Write the whole state of training to a file, from which ``Trainer.fit(resume=path)`` goes on exactly.

    A file is replaced only by a complete one. Ctrl-C writes a last checkpoint.

    Parameters
    ----------
    path : str or path
        One file, or with ``{epoch}`` and ``{step}`` in its name one per checkpoint.
    every_steps : int, optional
        Steps between checkpoints; the end of training is one too.
    every_epochs : int, optional
        Epochs between checkpoints; 1 when `every_steps` is not given either.
    best_only : bool
        Write at the end of an epoch, and only if it was the best so far. (Ctrl-C then writes nothing.)
    monitor : str, optional
        What `best_only` watches: ``validation_loss`` if there is validation, else ``loss``.
    mode : str
        ``"min"``: the lowest is the best; ``"max"``: the highest; ``"auto"``: the highest accuracy, the lowest of
        anything else.

    Raises
    ------
    OSError
        From ``fit``, if the file cannot be written: the previous one survives, the model keeps its weights.
    """

    def __init__(
        self,
        path: PathLike,
        every_steps: int | None = None,
        every_epochs: int | None = None,
        best_only: bool = False,
        monitor: str | None = None,
        mode: str = "auto",
    ) -> None:
        for name, value in (("every_steps", every_steps), ("every_epochs", every_epochs)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"Checkpoint: {name} must be a positive int or None; received {value!r}")
        if best_only and every_steps is not None:
            raise ValueError("Checkpoint: every_steps must be None with best_only, which judges whole epochs")
        self.path = os.fspath(path)
        self.every_steps = every_steps
        self.every_epochs = every_epochs or (None if every_steps else 1)
        self.best_only = best_only
        self.monitor = monitor
        self.mode = _checked_mode(mode, "Checkpoint")
        self.best: float | None = None
        self._saved: int | None = None

    def state(self) -> dict[str, Any]:
        return {"best": self.best} if self.best_only else {}

    def load_state(self, state: dict[str, Any]) -> None:
        self.best = state.get("best")

    def on_train_begin(self, trainer: Trainer) -> None:
        _need_folder(self.path)
        self._saved = None
        if trainer.resumed_from is None:
            self.best = None

    def steps_to_next(self, trainer: Trainer) -> int | None:
        return None if self.every_steps is None else self.every_steps - trainer.step % self.every_steps

    def on_steps(self, trainer: Trainer) -> None:
        if self.every_steps is not None and trainer.step % self.every_steps == 0:
            self._save(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        last = trainer.epoch == trainer.epochs or trainer.stop
        if self.best_only:
            value, sign = _watched(trainer, self.monitor, self.mode, "Checkpoint")
            if not math.isnan(value) and (self.best is None or sign * value < sign * self.best):
                self.best = value
                self._save(trainer)
        elif last or (self.every_epochs is not None and trainer.epoch % self.every_epochs == 0):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer) -> None:
        stopped = (trainer.interrupted or trainer.stop) and trainer.error is None and trainer.between_steps
        if stopped and not self.best_only and self._saved != trainer.step:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        self._saved = trainer.step
        trainer.save_checkpoint(
            self.path.replace("{epoch}", str(trainer.epoch)).replace("{step}", str(trainer.step))
        )


def _need_folder(path: str) -> None:
    """Raise before training rather than after its first epoch."""
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "the folder of the file does not exist", path)


def _checked_mode(mode: str, who: str) -> str:
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"{who}: mode must be 'auto', 'min' or 'max'; received {mode!r}")
    return mode


def _watched(trainer: Trainer, monitor: str | None, mode: str, who: str) -> tuple[float, int]:
    """Return the watched value of the last epoch, and 1 if lower is better, -1 if higher is."""
    row = trainer.history.epochs[-1]
    name = monitor or ("validation_loss" if "validation_loss" in row else "loss")
    if name not in row:
        raise ValueError(f"{who}: monitor must be one of {', '.join(row)}; received {name!r}")
    highest = "accuracy" in name if mode == "auto" else mode == "max"
    return float(row[name]), -1 if highest else 1


class EarlyStopping(Callback):
    """Stop when a value has not improved for some epochs.

    Parameters
    ----------
    monitor : str, optional
        A column of the history; ``validation_loss`` if there is validation, else ``loss``.
    patience : int
        Training stops after so many epochs in a row without improvement.
    min_delta : float
        What counts as an improvement must be larger than this.
    restore_best : bool
        Give the model the weights of the best epoch when training ends (not after Ctrl-C or an error).
    mode : str
        ``"min"``: the lowest is the best; ``"max"``: the highest; ``"auto"``: the highest accuracy, the lowest of
        anything else.
    """

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 3,
        min_delta: float = 0.0,
        restore_best: bool = False,
        mode: str = "auto",
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ValueError(f"EarlyStopping: patience must be a positive int; received {patience!r}")
        if not (min_delta >= 0 and math.isfinite(min_delta)):
            raise ValueError(
                f"EarlyStopping: min_delta must be finite and at least 0; received {min_delta!r}"
            )
        self.monitor = monitor
        self.mode = _checked_mode(mode, "EarlyStopping")
        self.patience = patience
        self.min_delta = min_delta
        self.restore_best = restore_best
        self._reset()

    def _reset(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.waited = 0
        self.stopped_epoch: int | None = None
        self._weights: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        numbers = {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}
        return {**numbers, **{f"best.{name}": array for name, array in self._weights.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.waited = state["waited"]
        self._weights = {name[5:]: array for name, array in state.items() if name.startswith("best.")}

    def on_train_begin(self, trainer: Trainer) -> None:
        if trainer.resumed_from is None:
            self._reset()
        self.stopped_epoch = None
        self._judge(trainer)

    def _judge(self, trainer: Trainer) -> None:
        if self.waited >= self.patience:
            self.stopped_epoch = trainer.epoch
            trainer.stop = True

    def on_epoch_end(self, trainer: Trainer) -> None:
        value, sign = _watched(trainer, self.monitor, self.mode, "EarlyStopping")
        if not math.isnan(value) and (self.best is None or sign * value < sign * self.best - self.min_delta):
            self.best, self.best_epoch, self.waited = value, trainer.epoch, 0
            if self.restore_best:
                self._weights = {name: np.array(array) for name, array in trainer.model.state_dict().items()}
        else:
            self.waited += 1
        self._judge(trainer)

    def on_train_end(self, trainer: Trainer) -> None:
        if self._weights and not trainer.interrupted and trainer.error is None:
            trainer.model.load_state_dict(self._weights)


class CSVLogger(Callback):
    """Write the history to a CSV file after every epoch; the file is always whole.

    Parameters
    ----------
    path : str or path
        A resumed run writes the rows before it too.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = os.fspath(path)

    def on_train_begin(self, trainer: Trainer) -> None:
        _need_folder(self.path)

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.history.to_csv(self.path)


class JSONLogger(CSVLogger):
    """Write the history to a JSON file after every epoch and at the end; the file is always whole.

    Parameters
    ----------
    path : str or path
        :meth:`History.from_json` reads it.
    """

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.history.to_json(self.path)

    def on_train_end(self, trainer: Trainer) -> None:
        trainer.history.to_json(self.path)

"""Trainer: the loop around a compiled training step."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import functional as F
from ..graph import Array, FlatParameters, InferenceProgram, TrainingProgram, aligned_zeros
from ..io._files import PathLike
from ..nn import Module
from ._callbacks import Callback, Checkpoint, ProgressBar
from ._history import History
from ._inputs import epoch_order, fingerprint, images, integer, labels_in_range, pair
from ._state import Snapshot, describe, describe_optimizer, load_callbacks

# One call of the core takes about so long: callbacks and Ctrl-C are served in between.
CHUNK_SECONDS = 0.1
# Evaluation in fit takes at least so many samples at once.
LEAST_VALIDATION_BATCH = 64

METRICS = ("accuracy",)

# Labels that cross_entropy passes over unless told otherwise.
IGNORE_INDEX = -100


class NonFiniteLossError(ValueError):
    """Training met a loss that is NaN or infinite.

    Attributes
    ----------
    step : int
        The step that failed, counted from 1 since training began. Its update was not made.
    epoch : int
        Its epoch, from 1.
    loss : float
    checkpoint : str or None
        The last checkpoint that this run wrote or was resumed from.
    """

    def __init__(self, message: str, step: int, epoch: int, loss: float, checkpoint: str | None) -> None:
        super().__init__(message)
        self.step = step
        self.epoch = epoch
        self.loss = loss
        self.checkpoint = checkpoint


class Trainer:
    """Trains a model on arrays in memory.

    Parameters
    ----------
    model : Module
    loss : Module or function of (output, target)
        Written with ``tenfold.functional``; returns one number, the mean over the batch.
    optimizer : Optimizer
    metrics : sequence of str or function
        ``"accuracy"``, or functions of (output, target) like the loss; a function's name is the metric's.
    callbacks : sequence of Callback
        Used by every ``fit``.
    seed : int
        Of the order of the samples and of random layers. The same seed gives the same weights to the last
        bit, at every number of threads and whatever the callbacks do.

    Attributes
    ----------
    epoch, epochs : int
        Epochs completed, and wanted, in the present or last ``fit``.
    step, step_in_epoch, steps_per_epoch : int
        Steps taken since training began and since the epoch began, and of a whole epoch.
    samples, samples_done : int
        Samples of an epoch, and how many of them have been seen in this one.
    logs : dict of str to float
        The averages of the running epoch.
    history : History
    stop : bool
        A callback sets it to end training after its hook.
    interrupted : bool
        Whether Ctrl-C ended training.
    between_steps : bool
        Whether all of the above agree with the weights; False only after an error within a call of the core.
    error : BaseException or None
        What ended training, for ``on_train_end``.
    last_checkpoint, resumed_from : str or None

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import nn, optim
    >>> from tenfold.train import Trainer
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
    >>> y = (x[:, 0] > 0).astype(int)
    >>> trainer = Trainer(nn.Linear(1, 2), nn.CrossEntropyLoss(), optim.SGD(lr=1.0), metrics=["accuracy"])
    >>> history = trainer.fit((x, y), epochs=20, batch_size=16, progress=False)
    >>> trainer.evaluate((x, y))["accuracy"] > 0.9
    True
    """

    def __init__(
        self,
        model: Module,
        loss: Callable[[Any, Any], Any],
        optimizer: Any,
        metrics: Sequence[str | Callable[[Any, Any], Any]] = (),
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"Trainer: model must be a Module; received {type(model).__name__}")
        if not callable(loss) or isinstance(loss, type):
            raise TypeError(
                f"Trainer: loss must be a function or an instance of a loss layer; received {loss!r}"
            )
        if not hasattr(optimizer, "core") or not hasattr(optimizer, "rates"):
            raise TypeError(f"Trainer: optimizer must be one of tenfold.optim; received {optimizer!r}")
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self._metrics = _named_metrics(metrics)
        self.callbacks = _checked_callbacks(callbacks, "Trainer")
        self.seed = integer(seed, "Trainer", "seed", 0)
        if self.seed >= 2**63:
            raise ValueError(f"Trainer: seed must be below 2**63; received {seed}")
        self.history = History()
        self.stop = self.interrupted = False
        self.error: BaseException | None = None
        self.epoch = self.epochs = self.step = self.step_in_epoch = self.steps_per_epoch = 0
        self.samples = self.samples_done = 0
        self.last_checkpoint: str | None = None
        self.resumed_from: str | None = None
        self._sums = np.zeros(1 + len(self._metrics))
        self._seconds = 0.0
        self.between_steps = True
        self._chunk = 1  # steps of the next call
        self._active: list[Callback] = []
        self._run: dict[str, Any] = {}
        self._flat: FlatParameters | None = None
        self._states: list[Array] = []

    # -- what callbacks see -----------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The names of the loss and the metrics."""
        return ["loss", *self._metrics]

    @property
    def logs(self) -> dict[str, float]:
        """Averages over the samples of the running epoch so far."""
        if self.samples_done == 0:
            return {}
        return {name: float(total) / self.samples_done for name, total in zip(self.names, self._sums)}

    # -- training ---------------------------------------------------------------------------------------

    def fit(
        self,
        train: Any,
        validation: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        callbacks: Sequence[Callback] = (),
        progress: bool | None = None,
        resume: PathLike | None = None,
    ) -> History:
        """Train: shuffle, take consecutive mini-batches, and do so `epochs` times.

        Every call is a run of its own from the model's present weights: the optimiser's state, the schedule
        and the order of the samples begin anew, unless `resume` brings them back. A batch size of 1 is
        single-sample descent, of ``len(train)`` batch descent; the last, smaller batch of an epoch is kept.
        Ctrl-C stops between two steps and keeps what was learnt. Afterwards the model is in eval mode.

        Parameters
        ----------
        train : data set with ``x`` and ``y``, or (x, y)
            x of shape (N, ...), of the model's dtype; y integer labels or float targets, N of them. Any
            layout, read-only too.
        validation : the same, optional
            Evaluated after every epoch.
        epochs, batch_size : int
        shuffle : bool
            False takes the samples as they lie.
        callbacks : sequence of Callback
            In addition to the trainer's own. Checkpoints are written after all others had their turn.
        progress : bool, optional
            True shows a bar on a terminal and a line per epoch elsewhere, False nothing; None shows a bar on
            a terminal and nothing elsewhere.
        resume : str or path, optional
            A file that :class:`Checkpoint` wrote. Training goes on exactly as if it had never been
            interrupted, within an epoch too; `epochs` still counts from the very beginning and may be larger
            than it was.

        Returns
        -------
        History
            One row per completed epoch, those before `resume` included.

        Raises
        ------
        ValueError
            If data are empty or of different lengths, a label is no class of the model, `resume` is damaged
            or belongs to another run (the message says what differs). Nothing has changed then.
        TypeError
            If images or labels have the wrong dtype.
        NonFiniteLossError
            If the loss becomes NaN or infinite: the message names the step and the last good checkpoint; the
            weights are those before it. It is a ValueError.
        OSError
            If a checkpoint cannot be written: the previous one survives and the model keeps its weights.
        """
        where = "Trainer.fit"
        epochs = integer(epochs, where, "epochs", 0)
        batch_size = integer(batch_size, where, "batch_size", 1)
        x, y = pair(train, self._dtype(), where, "train")
        held = None if validation is None else pair(validation, self._dtype(), where, "validation")
        active = [*self.callbacks, *_checked_callbacks(callbacks, where)]
        if progress or (progress is None and getattr(sys.stderr, "isatty", lambda: False)()):
            active.insert(0, ProgressBar())
        active.sort(key=lambda callback: isinstance(callback, Checkpoint))

        parameters = list(self.model.parameters())
        if not parameters:
            raise ValueError(f"{where}: the model must have parameters to train; received {self.model!r}")
        evaluate = None
        if held is not None:
            evaluate = self._evaluator(*held, max(batch_size, LEAST_VALIDATION_BATCH), where, "validation")
        count = len(x)
        full, rest = divmod(count, batch_size)
        was_training = self.model.training
        self.model.train()
        try:
            flat = FlatParameters(parameters)
            programs = {
                n: TrainingProgram(self._objective(where, "train"), _types(x, y, n), flat)
                for n in (batch_size if full else 0, rest)
                if n
            }
            self._check_labels(x, y, where, "train")
            states = [aligned_zeros(flat.values.size, flat.dtype) for _ in range(self.optimizer.state_count)]
            run = {
                "seed": self.seed,
                "shuffle": bool(shuffle),
                "batch_size": batch_size,
                "data": fingerprint(x, y),
                "loss": describe(self.loss),
                "metrics": list(self._metrics),
                "optimizer": describe_optimizer(self.optimizer),
            }
            steps_per_epoch = full + (rest > 0)
            snapshot = None
            if resume is not None:
                snapshot = Snapshot.read(resume)
                self._check_resume(snapshot, str(resume), flat, states, run, epochs, steps_per_epoch)
        except BaseException:
            self.model.train(was_training)
            raise

        # Nothing below refuses an argument.
        self.stop = self.interrupted = False
        self.error = None
        self.epochs, self.steps_per_epoch, self.samples = epochs, steps_per_epoch, count
        self.epoch = self.step = self.step_in_epoch = self.samples_done = 0
        self._sums = np.zeros(1 + len(self._metrics))
        self._seconds = 0.0
        self._chunk = 1
        self.history = History()
        self.last_checkpoint = self.resumed_from = None
        self._active, self._run, self._flat, self._states = active, run, flat, states
        self.optimizer.state = states
        if snapshot is not None:
            self._restore(snapshot, str(resume))

        try:
            with self._catching_interrupts(), contextlib.ExitStack() as ends:
                try:
                    for callback in active:
                        callback.on_train_begin(self)
                        ends.callback(callback.on_train_end, self)
                    while self.epoch < epochs and not self._ended:
                        order = epoch_order(count, self.seed, self.epoch) if shuffle else np.arange(count)
                        self._epoch(programs, [x, y], order, batch_size, evaluate)
                except KeyboardInterrupt:
                    self.interrupted = True
                except BaseException as error:
                    self.error = error
                    raise
                finally:
                    self.history.interrupted = self.interrupted
        finally:
            self.model.eval()
        return self.history

    @property
    def _ended(self) -> bool:
        return self.stop or self.interrupted

    def _epoch(
        self,
        programs: dict[int, TrainingProgram],
        data: list[Array],
        order: Array,
        batch_size: int,
        evaluate: Callable[[], list[float] | None] | None,
    ) -> None:
        self._call("on_epoch_begin")
        full = self.samples // batch_size
        while self.step_in_epoch < self.steps_per_epoch and not self._ended:
            steps = min(self._chunk, full - self.step_in_epoch) if self.step_in_epoch < full else 1
            for callback in self._active:
                wanted = callback.steps_to_next(self)
                steps = steps if wanted is None else max(1, min(steps, wanted))
            seconds = self._steps(programs, data, order, batch_size, steps)
            # The first call of a program is slow, and the machine may be busy: no sudden growth.
            most = max(8 * steps, self._chunk)
            self._chunk = max(1, min(int(CHUNK_SECONDS * steps / max(seconds, 1e-9)), most))
            self._call("on_steps")
        if self._ended and self.step_in_epoch < self.steps_per_epoch:
            return
        row: dict[str, Any] = {"epoch": self.epoch + 1, "step": self.step, **self.logs}
        if evaluate is not None:
            values = evaluate()
            if values is None:  # interrupted: a resumed run validates again
                return
            row.update({f"validation_{name}": value for name, value in zip(self.names, values)})
        row["learning_rate"] = float(self._rates(self.step - 1, 1)[0])
        row["seconds"] = self._seconds
        row["images_per_second"] = self.samples / max(self._seconds, 1e-9)
        self._check_weights()
        self.history.epochs.append(row)
        self.epoch += 1
        self.step_in_epoch = self.samples_done = 0
        self._sums = np.zeros_like(self._sums)
        self._seconds = 0.0
        self._call("on_epoch_end")

    def _steps(
        self,
        programs: dict[int, TrainingProgram],
        data: list[Array],
        order: Array,
        batch_size: int,
        steps: int,
    ) -> float:
        first = self.step_in_epoch * batch_size
        size = min(batch_size, self.samples - first)
        rates = self._rates(self.step, steps)
        chosen = np.ascontiguousarray(order[first : first + steps * size], dtype=np.int64)
        self.between_steps = False
        began = time.perf_counter()
        done, results = programs[size].run(
            self.optimizer.core, self._states, data, chosen, rates, self.step, self.seed
        )
        seconds = time.perf_counter() - began
        # accumulate adds row after row, so the sums do not depend on how the steps were cut into calls
        rows = np.concatenate([self._sums[None], results[:done] * size])
        self._sums = np.add.accumulate(rows, axis=0)[-1].copy()
        self._seconds += seconds
        self.step += done
        self.step_in_epoch += done
        self.samples_done += done * size
        self.between_steps = True
        if done < steps:
            loss = float(results[done, 0])
            raise NonFiniteLossError(
                f"Trainer.fit: the loss became {loss} at step {self.step + 1} (epoch {self.epoch + 1}, step "
                f"{self.step_in_epoch + 1} of {self.steps_per_epoch}); the weights are those after step "
                f"{self.step}; "
                f"{self._checkpoint_text()}. A smaller learning rate often helps",
                self.step + 1, self.epoch + 1, loss, self.last_checkpoint,
            )  # fmt: skip
        return seconds

    def _rates(self, first: int, count: int) -> Array:
        rates = self.optimizer.rates(first, count, self.epochs * self.steps_per_epoch)
        return np.ascontiguousarray(rates, dtype=np.float64)

    def _call(self, hook: str) -> None:
        for callback in self._active:
            getattr(callback, hook)(self)

    def _checkpoint_text(self) -> str:
        if self.last_checkpoint is None:
            return "no checkpoint was written (train.Checkpoint writes them)"
        return f"the last good checkpoint is {self.last_checkpoint!r}"

    def _check_weights(self) -> None:
        if self._flat is not None and not np.isfinite(self._flat.values).all():
            raise NonFiniteLossError(
                f"Trainer.fit: the weights are no longer finite after step {self.step} "
                f"(epoch {self.epoch + 1}); "
                f"{self._checkpoint_text()}. A smaller learning rate often helps",
                self.step, self.epoch + 1, math.nan, self.last_checkpoint,
            )  # fmt: skip

    @contextlib.contextmanager
    def _catching_interrupts(self) -> Iterator[None]:
        """Turn the first Ctrl-C into a flag that is read between steps; a second one raises as usual."""
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return

        def handler(number: int, frame: Any) -> None:
            if self.interrupted:
                signal.default_int_handler(number, frame)
            self.interrupted = True

        signal.signal(signal.SIGINT, handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    # -- checkpoints ------------------------------------------------------------------------------------

    def save_checkpoint(self, path: PathLike) -> None:
        """Write everything that an exact resume needs; for callbacks, between steps.

        Raises
        ------
        OSError
            If the file cannot be written; the previous one survives.
        NonFiniteLossError
            If the weights are no longer finite; the previous file survives.
        """
        if self._flat is None or not self.between_steps:
            raise RuntimeError(
                "Trainer.save_checkpoint: only a run that stands between two steps can be saved"
            )
        self._check_weights()
        progress = {
            "epoch": self.epoch,
            "epochs": self.epochs,
            "step": self.step,
            "step_in_epoch": self.step_in_epoch,
            "samples_done": self.samples_done,
            "sums": self._sums.tolist(),
            "seconds": self._seconds,
            "history": self.history.epochs,
        }
        states = [(type(callback).__name__, callback.state()) for callback in self._active]
        Snapshot(
            self.model.state_dict(),
            [self._named(state) for state in self._states],
            [(name, state) for name, state in states if state],
            self._run,
            progress,
        ).write(path)
        self.last_checkpoint = str(path)

    def _named(self, state: Array, flat: FlatParameters | None = None) -> dict[str, Array]:
        flat = flat or self._flat
        assert flat is not None
        names = [name for name, _ in self.model.named_parameters()]
        return dict(zip(names, flat.views(state), strict=True))

    def _check_resume(
        self,
        snapshot: Snapshot,
        path: str,
        flat: FlatParameters,
        states: list[Array],
        run: dict[str, Any],
        epochs: int,
        steps_per_epoch: int,
    ) -> None:
        named = [self._named(state, flat) for state in states]
        found = snapshot.differences(self.model, named, run)
        progress = snapshot.progress
        if not found and epochs != progress["epochs"]:
            step, before = progress["step"], progress["epochs"] * steps_per_epoch
            if not np.array_equal(
                self.optimizer.rates(0, step, epochs * steps_per_epoch), self.optimizer.rates(0, step, before)
            ):
                found.append(
                    f"epochs {progress['epochs']} instead of {epochs}, which this schedule depends on"
                )
        if not found and not (
            len(progress["sums"]) == len(self.names)
            and 0 <= progress["step_in_epoch"] <= steps_per_epoch
            and progress["step"] == progress["epoch"] * steps_per_epoch + progress["step_in_epoch"]
        ):
            found.append("a position that this run cannot have")
        if found:
            raise ValueError(
                f"Trainer.fit: resume must be a checkpoint of this very run; {path!r} has {'; '.join(found)}"
            )

    def _restore(self, snapshot: Snapshot, path: str) -> None:
        load_callbacks(self._active, snapshot.callbacks)  # first: it may be foreign code that fails
        self.model.load_state_dict(snapshot.model)
        for state, saved in zip(self._states, snapshot.optimizer):
            for name, view in self._named(state).items():
                view[...] = saved[name]
        progress = snapshot.progress
        self.epoch, self.step, self.step_in_epoch = (
            progress["epoch"],
            progress["step"],
            progress["step_in_epoch"],
        )
        self.samples_done = progress["samples_done"]
        self._sums = np.array(progress["sums"], dtype=np.float64)
        self._seconds = progress["seconds"]
        self.history = History(progress["history"])
        self.last_checkpoint = self.resumed_from = path

    # -- evaluation -------------------------------------------------------------------------------------

    def evaluate(self, data: Any, batch_size: int = 256) -> dict[str, float]:
        """Return loss and metrics over all samples, in eval mode.

        Parameters
        ----------
        data : data set with ``x`` and ``y``, or (x, y)
        batch_size : int
            Samples at once; the last batch may be smaller. Values of batches are averaged by their samples.

        Returns
        -------
        dict of str to float

        Raises
        ------
        ValueError, TypeError
            As :meth:`fit`.
        """
        where = "Trainer.evaluate"
        batch_size = integer(batch_size, where, "batch_size", 1)
        x, y = pair(data, self._dtype(), where, "data")
        values = self._evaluator(x, y, batch_size, where, "data", stoppable=False)()
        assert values is not None
        return dict(zip(self.names, values))

    def predict(self, x: Any, batch_size: int = 256) -> Array:
        """Return the model's outputs for all samples, in eval mode.

        Parameters
        ----------
        x : ndarray of shape (N, ...), of the model's dtype
        batch_size : int

        Returns
        -------
        ndarray of shape (N, ...)

        Raises
        ------
        TypeError
            If x has another dtype.
        """
        where = "Trainer.predict"
        batch_size = integer(batch_size, where, "batch_size", 1)
        x = images(x, self._dtype(), where, "x")
        with self._eval_mode():
            programs = {
                n: InferenceProgram(self.model, [((n, *x.shape[1:]), x.dtype)])
                for n in _batches(len(x), batch_size)
            }
        output: Array | None = None
        for start in range(0, max(len(x), 1), batch_size):
            part = x[start : start + batch_size]
            result = programs[len(part)](part)
            if output is None:
                output = np.empty((len(x), *result.shape[1:]), result.dtype)
            output[start : start + len(part)] = result
        assert output is not None
        return output

    def _evaluator(
        self, x: Array, y: Array, batch_size: int, where: str, argument: str, stoppable: bool = True
    ) -> Callable[[], list[float] | None]:
        """Compile the evaluation of a data set; the result returns loss and metrics, or None if stopped."""
        with self._eval_mode():
            programs = {
                n: InferenceProgram(self._objective(where, argument), _types(x, y, n))
                for n in _batches(len(x), batch_size)
            }
        self._check_labels(x, y, where, argument)

        def evaluate() -> list[float] | None:
            sums = [0.0] * len(self.names)
            for start in range(0, len(x), batch_size):
                if stoppable and self.interrupted:
                    return None
                part = slice(start, start + batch_size)
                size = len(x[part])
                for i, value in enumerate(programs[size](x[part], y[part])):
                    sums[i] += float(value) * size
            return [total / len(x) for total in sums]

        return evaluate

    @contextlib.contextmanager
    def _eval_mode(self) -> Iterator[None]:
        modes = [(module, module.training) for _, module in self.model.named_modules()]
        self.model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                if module.training != mode:
                    object.__setattr__(module, "training", mode)

    # -- recording --------------------------------------------------------------------------------------

    def _dtype(self) -> np.dtype[Any] | None:
        for parameter in self.model.parameters():
            return parameter.dtype
        return None

    def _objective(self, where: str, argument: str) -> Callable[[Any, Any], tuple[Any, ...]]:
        """Return the function that is recorded: model, loss, metrics."""

        def objective(x: Any, y: Any) -> tuple[Any, ...]:
            try:
                output = self.model(x)
            except (ValueError, TypeError) as error:
                raise _same_kind(
                    error, f"{where}: model must accept {argument}.x, {x.dtype} {tuple(x.shape)}: {error}"
                ) from error
            if not hasattr(output, "shape"):
                raise TypeError(f"{where}: the model must return one array; received {type(output).__name__}")
            self._output_shape = tuple(output.shape)
            results = []
            for name, function in [("loss", self.loss), *self._metrics.items()]:
                try:
                    value = function(output, y)
                except (ValueError, TypeError) as error:
                    raise _same_kind(
                        error,
                        f"{where}: {name} must accept the model's output, {output.dtype} "
                        f"{tuple(output.shape)}, with "
                        f"{argument}.y, {y.dtype} {tuple(y.shape)}: {error}",
                    ) from error
                if tuple(value.shape) != ():
                    raise ValueError(
                        f"{where}: {name} must return one number; received an array of shape "
                        f"{tuple(value.shape)}"
                    )
                results.append(value)
            return tuple(results)

        return objective

    def _check_labels(self, x: Array, y: Array, where: str, argument: str) -> None:
        ignore = getattr(self.loss, "ignore_index", IGNORE_INDEX)
        labels_in_range(y, self._output_shape, ignore, where, f"{argument}.y")


def _same_kind(error: Exception, message: str) -> Exception:
    return TypeError(message) if isinstance(error, TypeError) else ValueError(message)


def _types(x: Array, y: Array, n: int) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    return [((n, *x.shape[1:]), x.dtype), ((n, *y.shape[1:]), y.dtype)]


def _batches(count: int, batch_size: int) -> set[int]:
    """Return the sizes that the batches of `count` samples have."""
    sizes = {min(batch_size, count), count % batch_size}
    return sizes - {0} if count else {0}


def _named_metrics(metrics: Sequence[Any]) -> dict[str, Callable[[Any, Any], Any]]:
    if isinstance(metrics, str) or not isinstance(metrics, (list, tuple)):
        raise TypeError(f"Trainer: metrics must be a list of names and functions; received {metrics!r}")
    named: dict[str, Callable[[Any, Any], Any]] = {}
    for metric in metrics:
        if isinstance(metric, str):
            if metric not in METRICS:
                known = ", ".join(map(repr, METRICS))
                raise ValueError(
                    f"Trainer: metrics must be functions of (output, target) or of {known}; received "
                    f"{metric!r}"
                )
            name, function = metric, getattr(F, metric)
        elif callable(metric) and not isinstance(metric, type):
            name, function = getattr(metric, "__name__", type(metric).__name__), metric
        else:
            raise TypeError(
                f"Trainer: metrics must be names or functions of (output, target); received {metric!r}"
            )
        if name in named or name in (
            "loss",
            "epoch",
            "step",
            "learning_rate",
            "seconds",
            "images_per_second",
        ):
            raise ValueError(
                f"Trainer: metrics must have names of their own; received {name!r} twice or reserved"
            )
        named[name] = function
    return named


def _checked_callbacks(callbacks: Sequence[Any], where: str) -> list[Callback]:
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"{where}: callbacks must be a list of Callback; received {type(callbacks).__name__}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"{where}: callbacks must be instances of Callback; received {callback!r}")
    return list(callbacks)

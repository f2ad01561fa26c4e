"""The state of a training run as a file, and back."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array
from ..io import load_safetensors, save_safetensors
from ..io._files import PathLike
from ..nn import Module
from ._callbacks import Callback

FORMAT = "checkpoint 1"

# Where a run stands: names and types.
PROGRESS: dict[str, Any] = {
    "epoch": int,
    "epochs": int,
    "step": int,
    "step_in_epoch": int,
    "samples_done": int,
    "sums": list,
    "seconds": float,
    "history": list,
}


def describe(value: Any) -> str:
    """Return what a loss, a metric or a schedule is, the same in every process."""
    if isinstance(value, Module):
        settings = {k: v for k, v in vars(value).items() if k != "training" and not k.startswith("_")}
        settings.update(value.state_dict())
        text = f"{type(value).__name__}({', '.join(f'{k}={_setting(v)}' for k, v in settings.items())})"
    elif hasattr(value, "state"):
        text = json.dumps(value.state(), default=_setting, sort_keys=True)
    else:
        text = str(getattr(value, "__qualname__", None) or type(value).__name__)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _setting(value: Any) -> str:
    if isinstance(value, np.ndarray):
        check = zlib.crc32(np.ascontiguousarray(value).tobytes())
        return f"{value.dtype} {value.shape} {check:08x}"
    return repr(value)


def describe_optimizer(optimizer: Any) -> dict[str, str]:
    """Return the optimiser's class and settings as text."""
    lr = optimizer.lr
    return {
        "class": type(optimizer).__name__,
        "lr": describe(lr) if callable(lr) else repr(float(lr)),
        **{name: _setting(value) for name, value in sorted(optimizer.settings.items())},
    }


class Snapshot:
    """Everything a checkpoint holds.

    Attributes
    ----------
    model : dict of str to ndarray
        The model's ``state_dict``.
    optimizer : list of dict of str to ndarray
        Per kind of state (momentum, …), one array per parameter name.
    callbacks : list of (str, dict)
        Class name and state.
    run : dict
        What must agree for an exact resume: seed, batch size, data, loss, metrics, optimiser.
    progress : dict
        Where the run stands.
    """

    def __init__(
        self,
        model: Mapping[str, Array],
        optimizer: Sequence[Mapping[str, Array]],
        callbacks: Sequence[tuple[str, Mapping[str, Any]]],
        run: Mapping[str, Any],
        progress: Mapping[str, Any],
    ) -> None:
        self.model = dict(model)
        self.optimizer = [dict(state) for state in optimizer]
        self.callbacks = [(name, dict(state)) for name, state in callbacks]
        self.run = dict(run)
        self.progress = dict(progress)

    def write(self, path: PathLike) -> None:
        """Write the file, wholly or not at all."""
        tensors = {f"model.{name}": array for name, array in self.model.items()}
        for i, state in enumerate(self.optimizer):
            tensors.update({f"optimizer.{i}.{name}": array for name, array in state.items()})
        callbacks = []
        for k, (kind, values) in enumerate(self.callbacks):
            arrays = {name: v for name, v in values.items() if isinstance(v, np.ndarray)}
            tensors.update({f"callback.{k}.{name}": array for name, array in arrays.items()})
            callbacks.append([kind, {name: v for name, v in values.items() if name not in arrays}])
        text = {
            "run": self.run,
            "progress": self.progress,
            "callbacks": callbacks,
            "optimizer_states": len(self.optimizer),
        }
        save_safetensors(path, tensors, {"tenfold.format": FORMAT, "tenfold.state": json.dumps(text)})

    @classmethod
    def read(cls, path: PathLike) -> Snapshot:
        """Read and verify a file.

        Raises
        ------
        ValueError
            If it is damaged, or no checkpoint.
        """
        tensors, metadata = load_safetensors(path)
        found = metadata.get("tenfold.format")
        if found != FORMAT:
            raise ValueError(
                f"Trainer.fit: resume must be a checkpoint of the format {FORMAT!r}; {str(path)!r} is "
                + (f"of the format {found!r}" if found else "another safetensors file")
            )

        def part(prefix: str) -> dict[str, Array]:
            return {name[len(prefix) :]: a for name, a in tensors.items() if name.startswith(prefix)}

        try:
            text = json.loads(metadata["tenfold.state"])
            callbacks = [
                (str(kind), {**values, **part(f"callback.{k}.")})
                for k, (kind, values) in enumerate(text["callbacks"])
            ]
            states = [part(f"optimizer.{i}.") for i in range(text["optimizer_states"])]
            run, progress = dict(text["run"]), dict(text["progress"])
            for name, kind in PROGRESS.items():
                if not isinstance(progress[name], kind):
                    raise TypeError(f"{name} is {progress[name]!r}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"Trainer.fit: resume must be a checkpoint; the state in {str(path)!r} cannot be read: "
                f"{error!r}"
            ) from None
        return cls(part("model."), states, callbacks, run, progress)

    def differences(
        self, model: Module, optimizer: Sequence[Mapping[str, Array]], run: Mapping[str, Any]
    ) -> list[str]:
        """Return what keeps this from being resumed with a model, an optimiser's states and a run."""
        found = _array_differences("", self.model, model.state_dict())
        if self.run.get("optimizer") == run["optimizer"]:
            if len(self.optimizer) != len(optimizer):
                found.append(f"{len(self.optimizer)} optimiser states instead of {len(optimizer)}")
            for ours, theirs in zip(self.optimizer, optimizer):
                found += _array_differences("optimiser state of ", ours, theirs) if not found else []
        for name, value in json.loads(json.dumps(run)).items():
            other = self.run.get(name)
            if isinstance(value, dict) and isinstance(other, dict):
                found += [
                    f"{name} {key} {other.get(key)} instead of {value.get(key)}"
                    for key in {**value, **other}
                    if other.get(key) != value.get(key)
                ]
            elif other != value:
                found.append(f"{name.replace('_', ' ')} {other} instead of {value}")
        return found


def _array_differences(what: str, saved: Mapping[str, Array], own: Mapping[str, Array]) -> list[str]:
    found = []
    missing = [name for name in own if name not in saved]
    unexpected = sorted(name for name in saved if name not in own)
    if missing:
        found.append(f"{what}{', '.join(missing)} missing")
    if unexpected:
        found.append(f"{what}{', '.join(unexpected)} unexpected")
    for name, array in own.items():
        if name in saved and (saved[name].shape, saved[name].dtype) != (array.shape, array.dtype):
            a = saved[name]
            found.append(f"{what}{name} {a.dtype} {a.shape} instead of {array.dtype} {array.shape}")
    return found


def load_callbacks(callbacks: Sequence[Callback], saved: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Give each saved state to the next callback of its class; states without one are left."""
    free = list(callbacks)
    for kind, state in saved:
        for callback in free:
            if type(callback).__name__ == kind:
                callback.load_state(dict(state))
                free.remove(callback)
                break

"""What a run leaves behind: where it lies, and what its checkpoint says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import io, models
from ..train import Callback

CHECKPOINT = "checkpoint.safetensors"
HISTORY = "history.json"
RUNS = Path("runs")


class RunSettings(Callback):
    """Carries the settings of a run into its checkpoints, so that these explain themselves.

    Parameters
    ----------
    settings : dict
        Numbers, text, lists of them, None.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)

    def state(self) -> dict[str, Any]:
        return {"settings": self.settings}


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return the settings in a checkpoint.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or no checkpoint of ``tenfold train``.
    """
    _, metadata = io.load_safetensors(path)
    try:
        for kind, state in json.loads(metadata["tenfold.state"])["callbacks"]:
            if kind == RunSettings.__name__:
                settings = dict(state["settings"])
                models.create(settings["model"], len(settings["classes"]), settings["input_shape"])
                return settings
    except (KeyError, TypeError, ValueError):
        pass
    raise ValueError(f"{path} must be a checkpoint that `tenfold train` wrote; it has none of its settings")


def load_model(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """Return (model, settings) of a checkpoint, ready for inference."""
    settings = read_settings(path)
    model = models.create(settings["model"], len(settings["classes"]), settings["input_shape"])
    model.load(path)
    model.eval()
    return model, settings


def latest() -> Path:
    """Return the checkpoint of the latest run in runs/; a run that failed before its first one is passed over."""
    found = sorted(RUNS.glob(f"*/{CHECKPOINT}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(
            f"there is no {RUNS}/*/{CHECKPOINT} here; name the file, or run `tenfold train` first"
        )
    return found[-1]


def new_folder(name: str) -> Path:
    """Make and return runs/NAME, or runs/NAME-2 and so on if that is taken."""
    number = 1
    while True:
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1

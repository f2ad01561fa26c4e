"""What a training run measured, epoch by epoch."""

from __future__ import annotations

import csv
import io as text_io
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..io._files import PathLike, write_aside

FORMAT = 1
LEADING = ("epoch", "step", "loss")
TRAILING = ("learning_rate", "seconds", "images_per_second")


class History:
    """The rows that :meth:`Trainer.fit` returns.

    Attributes
    ----------
    epochs : list of dict
        One row per epoch: ``epoch`` (from 1), ``step`` (steps so far), ``loss`` and metrics (averages over
        the samples, taken while the weights changed), ``validation_loss`` and so on where there was
        validation data, ``learning_rate`` (of the last step), ``seconds`` (of training, without validation)
        and ``images_per_second``.
    interrupted : bool
        Whether Ctrl-C ended the run.

    Examples
    --------
    >>> from tenfold.train import History
    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    >>> history["loss"]
    [0.5, 0.25]
    """

    def __init__(self, epochs: list[dict[str, Any]] | None = None, interrupted: bool = False) -> None:
        self.epochs: list[dict[str, Any]] = [dict(row) for row in epochs or []]
        self.interrupted = interrupted

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.epochs)

    def __getitem__(self, name: str) -> list[Any]:
        """Return one column; None stands where an epoch has no such value."""
        if name not in self.columns():
            raise KeyError(
                f"History: no column {name!r}; there are {', '.join(self.columns()) or 'none yet'}"
            )
        return [row.get(name) for row in self.epochs]

    def __contains__(self, name: object) -> bool:
        return name in self.columns()

    def __repr__(self) -> str:
        return f"History({len(self)} epochs: {', '.join(self.columns())})"

    def columns(self) -> list[str]:
        """Return the names of all values, in reading order."""
        seen = {name: None for row in self.epochs for name in row}
        middle = [name for name in seen if name not in LEADING and name not in TRAILING]
        return [n for n in LEADING if n in seen] + middle + [n for n in TRAILING if n in seen]

    def to_csv(self, path: PathLike) -> None:
        """Write a header and one line per epoch; numbers keep every digit, a missing value is empty.

        Raises
        ------
        OSError
            If the file cannot be written; the previous one survives.
        """
        text = text_io.StringIO()
        writer = csv.DictWriter(text, self.columns(), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.epochs)
        write_aside(path, text.getvalue().encode())

    def to_json(self, path: PathLike) -> None:
        """Write ``{"format": 1, "interrupted": …, "epochs": […]}``; NaN and infinities become strings.

        Raises
        ------
        OSError
            If the file cannot be written; the previous one survives.
        """
        content = {
            "format": FORMAT,
            "interrupted": self.interrupted,
            "epochs": [{name: _to_text(value) for name, value in row.items()} for row in self.epochs],
        }
        write_aside(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def from_json(cls, path: PathLike) -> History:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the file holds something else.
        """
        with open(path, encoding="utf-8") as file:
            try:
                content = json.load(file)
            except ValueError as error:
                raise ValueError(f"History.from_json: {str(path)!r} is no JSON file: {error}") from None
        rows = content.get("epochs") if isinstance(content, Mapping) else None
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise ValueError(f"History.from_json: {str(path)!r} must hold a list of rows under 'epochs'")
        if content.get("format") != FORMAT:
            raise ValueError(
                f"History.from_json: {str(path)!r} must be of format {FORMAT}; "
                f"received {content.get('format')!r}"
            )
        return cls(
            [{name: _from_text(value) for name, value in row.items()} for row in rows],
            bool(content.get("interrupted", False)),
        )


def _to_text(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _from_text(value: Any) -> Any:
    return float(value) if value in ("nan", "inf", "-inf") else value

"""Layer shapes out of bench/shapes/*.txt; the format is described in bench/README.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "shapes"


@dataclass(frozen=True)
class Layer:
    """One line of a shape file: its kind, name and numbers, in the order of bench/README.md."""

    model: str
    kind: str
    name: str
    numbers: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"{self.model} {self.name}"


def read(models: list[str] | None = None) -> Iterator[Layer]:
    """Yield the layers of the named models (file names without .txt), of all of them by default."""
    for path in sorted(FOLDER.glob("*.txt")):
        if models and path.stem not in models:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split("#")[0].split()
            if words:
                yield Layer(path.stem, words[0], words[1], tuple(map(int, words[2:])))

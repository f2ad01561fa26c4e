"""Side-by-side timing: contestants take turns in one process, so that whatever slows the machine slows them all."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Seconds per call of one contestant."""

    seconds: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def take_turns(
    contestants: dict[str, Callable[[], object]], seconds: float, rest: float = 0.0, warm_up: int = 2
) -> dict[str, Times]:
    """Call every contestant in turn until `seconds` have passed; at least five rounds.

    Parameters
    ----------
    contestants : dict of callables
        What to time, by name.
    seconds : float
        For all of them together, warm-up not counted.
    rest : float
        Seconds of sleep before each call, for thread pools of the previous contestant that still spin.
    warm_up : int
        Untimed calls of each contestant.
    """
    for call in contestants.values():
        for _ in range(warm_up):
            call()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    gc.collect()
    gc.disable()
    try:
        deadline = time.perf_counter() + seconds
        rounds = 0
        while time.perf_counter() < deadline or rounds < 5:
            for name, call in contestants.items():
                if rest:
                    time.sleep(rest)
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
            rounds += 1
    finally:
        gc.enable()
    return {name: Times(tuple(values)) for name, values in times.items()}


def repeat_for(call: Callable[[], object], seconds: float = 0.02) -> tuple[Callable[[], object], int]:
    """Return a function that calls so often that it takes about `seconds`, and how often that is."""
    call()
    start = time.perf_counter()
    call()
    count = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))

    def repeated() -> None:
        for _ in range(count):
            call()

    return repeated, count


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return aligned text: the first column left, the others right."""
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    lines = []
    for line in [header, *rows]:
        cells = [line[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)

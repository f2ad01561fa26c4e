"""Side-by-side timing: contestants take turns in one process, so that whatever slows the machine slows them all."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tenfold import _core

# A window in which a probe reached less of the best one than this, or took so much longer, was disturbed.
COLLAPSED = 0.75
PROBE_SECONDS = 0.001
LEAST_WINDOWS = 5

Call = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Times:
    """Seconds of one unit of work by one contestant, one per window."""

    seconds: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Work:
    """What the contestants do: `units` of work per call, `flops` floating-point operations per unit."""

    group: str
    name: str
    contestants: dict[str, Call]
    flops: float = 0.0
    units: int = 1
    facts: dict[str, Any] = field(default_factory=dict)  # of any kind, kept with the result


@dataclass(frozen=True)
class Result:
    """Times of a work, with the multiply-add peak that was probed before and after every window."""

    group: str
    name: str
    flops: float
    times: dict[str, Times]
    peak: float
    windows: int
    dropped: int
    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            "group": self.group, "name": self.name, "flops": self.flops, "peak": self.peak,
            "windows": self.windows, "dropped": self.dropped, **self.facts,
            "times": {
                name: {"median": t.median, "best": t.best, "worst": max(t.seconds)}
                for name, t in self.times.items()
            },
        }  # fmt: skip


def probe() -> tuple[float, float]:
    """Return the multiply-add peak of all threads at this moment (operations per second), and how long that took.

    The peak is each thread's best short run; a thread that had to wait for its processor shows in the time.
    """
    start = time.perf_counter()
    peak = _core.fma_peak(np.dtype(np.float32), PROBE_SECONDS)
    return peak, time.perf_counter() - start


def take_turns(
    work: Work, seconds: float, rest: float = 0.01, warm_up: int = 2, clock: Clock = time.perf_counter
) -> Result:
    """Time a work: every window is one turn of all contestants, until `seconds` have passed.

    Parameters
    ----------
    work : Work
    seconds : float
        For all contestants together, warm-up not counted.
    rest : float
        Seconds of sleep before each turn, for thread pools of the previous contestant that still spin.
    warm_up : int
        Untimed calls of each contestant.
    clock : callable
        ``time.process_time`` compares single threads on a machine that others use as well.
    """
    share = seconds / max(1, len(work.contestants)) / 20
    calls: list[tuple[str, Call, int]] = []
    for name, call in work.contestants.items():
        for _ in range(warm_up):
            call()
        start = time.perf_counter()
        call()
        once = time.perf_counter() - start
        calls.append((name, call, max(1, int(min(share, 0.02) / max(once, 1e-7)))))
    windows: list[tuple[list[tuple[float, float]], dict[str, float]]] = []
    gc.collect()
    gc.disable()
    try:
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline or len(windows) < LEAST_WINDOWS:
            turn = len(windows) % len(calls)  # nobody always follows the same neighbour
            found: dict[str, float] = {}
            probes = []
            for name, call, count in calls[turn:] + calls[:turn]:
                time.sleep(rest)
                probes.append(probe())
                start = clock()
                for _ in range(count):
                    call()
                found[name] = (clock() - start) / count / work.units
            time.sleep(rest)
            probes.append(probe())
            windows.append((probes, found))
    finally:
        gc.enable()
    peak = max(p for probes, _ in windows for p, _ in probes)
    shortest = min(s for probes, _ in windows for _, s in probes)
    graded = [(min(min(p / peak, shortest / s) for p, s in probes), found) for probes, found in windows]
    kept = [found for grade, found in graded if grade >= COLLAPSED]
    if len(kept) < LEAST_WINDOWS:
        graded.sort(key=lambda g: -g[0])
        kept = [found for _, found in graded[:LEAST_WINDOWS]]
    times = {name: Times(tuple(w[name] for w in kept)) for name in work.contestants}
    dropped = len(windows) - len(kept)
    return Result(work.group, work.name, work.flops, times, peak, len(windows), dropped, work.facts)


def duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def line(result: Result) -> str:
    """Return a result in one line: ours, and how many times as long each of the others takes."""
    ours = result.times["tenfold"]
    parts = [f"{result.group:12s} {result.name:34s} {duration(ours.median):>9s}"]
    if result.flops:
        rate = result.flops / ours.median
        parts.append(f"{rate / 1e9:6.1f} GFLOP/s {100 * rate / result.peak:5.1f} %")
    else:
        parts.append(" " * 22)
    parts += [
        f"{name} {t.median / ours.median:.2f} ({t.best / ours.best:.2f})"
        for name, t in result.times.items()
        if name != "tenfold"
    ]
    parts.append(f"[probe {result.peak / 1e9:.0f}; {result.dropped} of {result.windows} dropped]")
    return "  ".join(parts)


def geometric_mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.exp(np.mean(np.log(found)))) if found else float("nan")


def fastest(result: Result, by: str, others: Sequence[str] | None = None) -> float:
    """Return how many times as long the fastest of the others takes, by "median" or "best"."""
    names = [n for n in (others or result.times) if n != "tenfold" and n in result.times]
    ours = getattr(result.times["tenfold"], by)
    return min((getattr(result.times[n], by) for n in names), default=float("nan")) / ours

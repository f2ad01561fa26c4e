"""Side-by-side timing: contestants take turns in one process, so that whatever slows the machine slows them all."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tenfold import _core

# A turn is disturbed if a probe beside it reached less of the best one than this (or took so much longer), if the cores
# were so many times as far from each other as in the best one, or if the process's threads waited for a processor for
# more than this share of it. Where more threads than processors make them wait for each other in every turn, the least
# of that is the contestant's own.
COLLAPSED = 0.75
FARTHER = 2.0
WAITED = 0.02
PROBE_SECONDS = 0.001
# Calls are repeated until a turn takes so long, short enough to fall between the other work of a busy machine.
TURN_SECONDS = 0.002
# A call that takes longer than this forgives a cold start: workers that sleep, caches that hold what others left (about
# a tenth of a millisecond). Before a turn of shorter ones a call is not timed.
LONG_SECONDS = 0.02
# So many undisturbed turns of everybody are waited for, up to so many times the seconds of a row; and so many turns are
# taken, and the least disturbed ones counted, however long each lasts.
GOOD_TURNS = 9
MOST_TIMES = 4.0
LEAST_TURNS = 3
# OpenBLAS's workers spin for about 100 ms after a call, ONNX Runtime's and libgomp's for some milliseconds.
QUIET_SECONDS = 0.5
# A probe that finds the machine busy is repeated for so long before a turn.
PROBE_AGAIN_SECONDS = 0.2
# Compilers need minutes: a contestant that takes longer than this to warm up is named.
SLOW_SECONDS = 3.0
WARM_UP_SECONDS = 0.02
MOST_WARM_UPS = 1000

# A contestant that is no library: what the machine's memory gives.
TRIAD = "triad"

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

    def as_dict(self) -> dict[str, float]:
        low, high = np.quantile(self.seconds, (0.25, 0.75))
        return {
            "median": self.median, "best": self.best, "worst": max(self.seconds),
            "quarter": float(low), "three_quarters": float(high),
        }  # fmt: skip


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
class Probe:
    """What the machine gave at a moment; by default nothing at all.

    Attributes
    ----------
    peak : float
        Multiply-add peak of all threads (operations per second), each thread's best short run.
    seconds : float
        How long that took: a thread that had to wait for its processor shows here.
    round_trip : float
        Seconds of a cache line to the farthest thread and back. A virtual machine's cores may share a cache now and be
        far from each other a moment later.
    """

    peak: float = 0.0
    seconds: float = math.inf
    round_trip: float = math.inf

    def better(self, other: Probe) -> Probe:
        """Return the best of both in everything."""
        return Probe(
            max(self.peak, other.peak),
            min(self.seconds, other.seconds),
            min(self.round_trip, other.round_trip),
        )

    def grade(self, best: Probe) -> float:
        """Return the share of the best that it reached; COLLAPSED with cores that are FARTHER from each other."""
        near = COLLAPSED * FARTHER * best.round_trip / self.round_trip if self.round_trip else 1.0
        return min(self.peak / best.peak, best.seconds / self.seconds, near, 1.0)


def probe() -> Probe:
    """Return what all threads get at this moment."""
    start = time.perf_counter()
    peak = _core.fma_peak(np.dtype(np.float32), PROBE_SECONDS)
    return Probe(peak, time.perf_counter() - start, _core.round_trip())


@dataclass(frozen=True)
class Result:
    """Times of a work, with the best of the probes before and after every turn."""

    group: str
    name: str
    flops: float
    times: dict[str, Times]
    probe: Probe
    turns: int
    dropped: int
    good: int  # undisturbed turns of the contestant that had the fewest
    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            "group": self.group, "name": self.name, "flops": self.flops, "peak": self.probe.peak,
            "round_trip": self.probe.round_trip, "turns": self.turns, "dropped": self.dropped, "good": self.good,
            **self.facts,
            "times": {name: t.as_dict() for name, t in self.times.items()},
        }  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """One turn of one contestant: its time, the probes before and after, the share of it spent in waiting."""

    seconds: float
    probes: tuple[Probe, Probe]
    waited: float

    def grade(self, best: Probe, own: float) -> float:
        """Return how undisturbed it was, up to 1; its contestant waits for `own` of every turn by itself."""
        waited = self.waited - own
        return min(*(p.grade(best) for p in self.probes), COLLAPSED * WAITED / waited if waited > 0 else 1.0)


def grades(turns: Sequence[Turn], best: Probe) -> list[float]:
    """Return how undisturbed each turn of a contestant was."""
    own = min((t.waited for t in turns), default=0.0)
    return [t.grade(best, own) for t in turns]


def tasks(file: str) -> dict[str, bytes]:
    """Return a file of /proc/self/task for every thread of the process (Linux; elsewhere nothing)."""
    found = {}
    with contextlib.suppress(OSError):
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/{file}", "rb") as opened:
                found[task] = opened.read()
    return found


def workers_run() -> bool:
    """Whether a thread of this process other than the caller is running or wants to."""
    own = str(threading.get_native_id())
    # The state follows the name, which is in parentheses and may have any character.
    states = {task: text.rpartition(b") ")[2][:1] for task, text in tasks("stat").items()}
    return any(state == b"R" for task, state in states.items() if task != own)


def waiting() -> float:
    """Return the seconds for which threads of this process have been ready to run while another process ran."""
    return 1e-9 * sum(int(text.split()[1]) for text in tasks("schedstat").values() if text.split())


def quiet() -> None:
    """Return when the workers of all thread pools sleep: after their work they spin, some for 100 ms.

    Nobody is timed while another one's workers spin; spinning does not depend on the machine, so it is asked for and
    not inferred from speed.
    """
    deadline = time.perf_counter() + QUIET_SECONDS
    calm = 0
    # A worker that calls sched_yield in its loop may be seen between two turns: three looks.
    while calm < 3 and time.perf_counter() < deadline:
        time.sleep(0.0005)
        calm = 0 if workers_run() else calm + 1


def quiet_probe(best: Probe) -> Probe:
    """Return a probe of the machine at rest; repeated for a while when it falls short of the best one so far."""
    deadline = time.perf_counter() + PROBE_AGAIN_SECONDS
    while True:
        quiet()
        found = probe()
        if found.grade(best.better(found)) >= COLLAPSED or time.perf_counter() > deadline:
            return found
        time.sleep(0.002)


@contextlib.contextmanager
def says_when_slow(what: str) -> Iterator[None]:
    """Print a line on stderr when the body has not finished after a while, and another when it has."""
    start = time.perf_counter()
    timer = threading.Timer(SLOW_SECONDS, lambda: print(f"{what} …", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        seconds = time.perf_counter() - start
        if seconds > SLOW_SECONDS:
            print(f"{what}: {seconds:.0f} s", file=sys.stderr, flush=True)


def warm_up(call: Call) -> float:
    """Call until it gets no faster, twice at least and for some time; return the seconds of the fastest call."""
    call()
    best = math.inf
    start = time.perf_counter()
    for _ in range(MOST_WARM_UPS):
        begin = time.perf_counter()
        call()
        now = time.perf_counter()
        settled = now - begin > 0.9 * best
        best = min(best, now - begin)
        if settled and now - start > WARM_UP_SECONDS:
            break
    return best


def left_out(work: str, name: str, error: Exception) -> None:
    """Say that a contestant does not take part in a work, and why."""
    told = (str(error).strip() or repr(error)).splitlines()[0]
    print(f"left out of {work}: {name} ({type(error).__name__}: {told})", file=sys.stderr, flush=True)


def ready(work: Work) -> dict[str, tuple[Call, float]]:
    """Warm everybody up; return call and seconds of those that work. The others are left out, with a line."""
    found = {}
    for name, call in work.contestants.items():
        try:
            with says_when_slow(f"{work.name}: {name} warms up"):
                found[name] = (call, warm_up(call))
        except Exception as error:
            if name == "tenfold":
                raise
            left_out(work.name, name, error)
    return found


def take_turns(work: Work, seconds: float, clock: Clock = time.perf_counter) -> Result:
    """Time a work: all contestants in turn, again and again.

    A turn begins when all thread pools of the process sleep and a probe has found the machine undisturbed; unless a
    call takes long, one that is not timed wakes the contestant's own pool. Turns go on until `seconds` have passed and
    enough of them were undisturbed, but not for ever. Disturbed ones do not count.

    Parameters
    ----------
    work : Work
    seconds : float
        For all contestants together, warm-up not counted.
    clock : callable
        ``time.process_time`` compares single threads on a machine that others use as well; waiting is none of it.
    """
    calls = [
        (name, call, max(1, int(TURN_SECONDS / max(once, 1e-7))), once < LONG_SECONDS)
        for name, (call, once) in ready(work).items()
    ]
    turns: dict[str, list[Turn]] = {name: [] for name, *_ in calls}
    best = Probe()

    def look(again: bool = True) -> Probe:
        nonlocal best
        found = quiet_probe(best if again else Probe())
        best = best.better(found)
        if clock is not time.perf_counter:  # others lengthen no processor time
            best = dataclasses.replace(best, seconds=math.inf)
        return found

    def good() -> int:
        return min(sum(g >= COLLAPSED for g in grades(own, best)) for own in turns.values())

    def enough() -> bool:
        passed = time.perf_counter() - start
        return rounds >= LEAST_TURNS and passed > seconds * (1 if good() >= GOOD_TURNS else MOST_TIMES)

    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        rounds = 0
        for _ in range(3):
            look(again=False)
        while not enough():
            first = rounds % len(calls)  # nobody always follows the same neighbour
            before = look()
            for name, call, count, short in calls[first:] + calls[:first]:
                quiet()
                if short:
                    call()
                waited, begin, at = waiting(), time.perf_counter(), clock()
                for _ in range(count):
                    call()
                took, passed = clock() - at, time.perf_counter() - begin
                waited = (waiting() - waited) / passed if clock is time.perf_counter else 0.0
                after = look()
                turns[name].append(Turn(took / count / work.units, (before, after), waited))
                before = after
            rounds += 1
    finally:
        gc.enable()
    times = {}
    dropped = 0
    for name, own in turns.items():
        graded = sorted(zip(grades(own, best), (t.seconds for t in own)), reverse=True)
        kept = [took for i, (grade, took) in enumerate(graded) if i < LEAST_TURNS or grade >= COLLAPSED]
        dropped += len(own) - len(kept)
        times[name] = Times(tuple(kept))
    total = sum(map(len, turns.values()))
    return Result(work.group, work.name, work.flops, times, best, total, dropped, good(), work.facts)


def triad(moved: float) -> Call:
    """Return a sum of two float32 arrays into a third that reads and writes `moved` bytes together."""
    x, y = np.ones((2, max(1, round(moved / 12))), np.float32)
    op = _core.Op("add", {}, [x, y])
    return lambda: op([x, y])


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
        parts.append(f"{rate / 1e9:6.1f} GFLOP/s {100 * rate / result.probe.peak:5.1f} %")
    elif "bytes" in result.facts:
        parts.append(f"{result.facts['bytes'] / ours.median / 1e9:6.1f} GB/s          ")
    else:
        parts.append(" " * 22)
    parts += [
        f"{name} {t.median / ours.median:.2f} ({t.best / ours.best:.2f})"
        for name, t in result.times.items()
        if name != "tenfold"
    ]
    few = f", only {result.good} undisturbed" if result.good < GOOD_TURNS else ""
    apart = f", {duration(result.probe.round_trip)} to and fro" if result.probe.round_trip else ""
    parts.append(
        f"[probe {result.probe.peak / 1e9:.0f}{apart}; {result.dropped} of {result.turns} dropped{few}]"
    )
    return "  ".join(parts)


def geometric_mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.exp(np.mean(np.log(found)))) if found else float("nan")


def fastest(result: Result, by: str, others: Sequence[str] | None = None) -> float:
    """Return how many times as long the fastest of the others takes, by "median" or "best"."""
    names = [n for n in (others or result.times) if n not in ("tenfold", TRIAD) and n in result.times]
    ours = getattr(result.times["tenfold"], by)
    return min((getattr(result.times[n], by) for n in names), default=float("nan")) / ours

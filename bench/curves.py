"""Cost against work: one convolution with more images, larger images, more channels, more threads.

Beside every time stands the least that the machine allows: the multiply-adds at the probed peak, or every array moved
once at the measured bandwidth, whichever takes longer (the roofline). "direct" multiplies as often as the definition
says; "auto" may take Winograd's method, which multiplies less and so goes below that line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tenfold
from tenfold import _core
from tenfold import functional as F

# Powers of two, what comes right after one, and primes: a cliff would show there.
BATCHES = (1, 2, 4, 8, 16, 17, 32, 64, 128, 256, 512, 1024)
IMAGES = (8, 12, 16, 17, 24, 32, 47, 64, 96, 128, 131, 192, 256, 384, 512)
CHANNELS = (1, 2, 3, 4, 7, 8, 13, 16, 17, 24, 31, 32, 33, 48, 64, 65, 96, 128, 131, 192, 256, 384, 512)


def seconds_of(call: Callable[[], object], budget: float, clock: Callable[[], float]) -> tuple[float, float]:
    """Return median and best of a call."""
    call()
    start = clock()
    call()
    once = max(clock() - start, 1e-6)
    count = max(1, int(min(budget / 5, 0.02) / once))
    times = []
    for _ in range(max(5, min(31, int(budget / (count * once))))):
        start = clock()
        for _ in range(count):
            call()
        times.append((clock() - start) / count)
    return statistics.median(times), min(times)


def bandwidth(clock: Callable[[], float]) -> float:
    """Return bytes per second of a sum of two large arrays into a third, counted once each."""
    x = np.ones(1 << 24, np.float32)
    op = _core.Op("add", {}, [x, x])
    return 3 * x.nbytes / seconds_of(lambda: op([x, x]), 0.5, clock)[1]


def point(n: int, c: int, size: int, budget: float, clock: Callable[[], float]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, c, size, size)).astype(np.float32)
    w = rng.normal(size=(c, c, 3, 3)).astype(np.float32)
    found: dict[str, Any] = {"flops": 2.0 * n * c * c * 9 * size * size, "bytes": 2.0 * x.nbytes + w.nbytes}
    for algorithm in ("direct", "auto"):
        median, best = seconds_of(lambda a=algorithm: F.conv2d(x, w, padding=1, algorithm=a), budget, clock)
        found[algorithm] = {"median": median, "best": best}
    return found


def measure(budget: float, quick: bool, clock: Callable[[], float]) -> dict[str, Any]:
    """Return the points of every curve, with peak and bandwidth."""
    threads = tenfold.num_threads()
    step = 2 if quick else 1
    curves: dict[str, Any] = {}
    plans: list[tuple[str, str, tuple[int, ...], Callable[[int], tuple[int, int, int]]]] = [
        ("batch", "32 channels of 28 x 28", BATCHES[::step], lambda v: (v, 32, 28)),
        ("image", "1 image of 32 channels", IMAGES[::step], lambda v: (1, 32, v)),
        ("channels", "4 images of 28 x 28", CHANNELS[::step], lambda v: (4, v, 28)),
    ]
    peak = _core.fma_peak(np.dtype(np.float32), 0.05)
    for name, what, values, shape in plans:
        points = []
        for value in values:
            points.append({"value": value, **point(*shape(value), budget, clock)})
            print(f"{name:9s} {value:5d}  {points[-1]['auto']['median'] * 1e3:10.3f} ms", flush=True)
        peak = max(peak, _core.fma_peak(np.dtype(np.float32), 0.05))
        curves[name] = {"what": what, "points": points}
    points = []
    for value in range(1, threads + 1):
        tenfold.set_num_threads(value)
        points.append({"value": value, **point(8, 64, 56, 4 * budget, clock)})
    curves["threads"] = {"what": "8 images of 64 channels of 56 x 56", "points": points}
    return {"peak": peak, "bandwidth": bandwidth(clock), "threads": threads, "curves": curves}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python bench/curves.py", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="per point")
    parser.add_argument("--threads", type=int, default=tenfold.num_threads())
    parser.add_argument("--cpu-time", action="store_true", help="processor time: with --threads 1")
    parser.add_argument("--quick", action="store_true", help="every other point")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    tenfold.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    found = measure(options.seconds, options.quick, clock)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file)


if __name__ == "__main__":
    main()

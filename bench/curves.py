"""Cost against work: one convolution with more images, larger images, more channels, more threads.

Beside every time stands the least that the machine allows: the multiply-adds at the probed peak, or every array moved
once at the measured bandwidth, whichever takes longer (the roofline). "direct" multiplies as often as the definition
says; "auto" may take Winograd's method, which multiplies less and so goes below that line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tenfold
from tenfold import _core
from tenfold import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from measure import Clock, Work, duration, quiet, take_turns, triad

# Powers of two, what comes right after one, and primes: a cliff would show there.
BATCHES = (1, 2, 4, 8, 16, 17, 32, 64, 128, 256, 512, 1024)
IMAGES = (8, 12, 16, 17, 24, 32, 47, 64, 96, 128, 131, 192, 256, 384, 512)
CHANNELS = (1, 2, 3, 4, 7, 8, 13, 16, 17, 24, 31, 32, 33, 48, 64, 65, 96, 128, 131, 192, 256, 384, 512)
# Images, channels and size of the convolution that more and more threads share.
THREADS_SHAPE = (8, 64, 56)


def bandwidth(clock: Clock) -> float:
    """Return bytes per second of a sum of two arrays too large for the caches into a third, counted once each."""
    moved = 12.0 * (1 << 24)
    call = triad(moved)
    call()
    found = []
    for _ in range(7):
        quiet()
        start = clock()
        call()
        found.append(clock() - start)
    return moved / statistics.median(found)


def point(name: str, n: int, c: int, size: int, budget: float, clock: Clock) -> dict[str, Any]:
    """Return work and times of one convolution of n images with c channels in and out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, c, size, size)).astype(np.float32)
    w = rng.normal(size=(c, c, 3, 3)).astype(np.float32)
    calls = {
        "tenfold": lambda: F.conv2d(x, w, padding=1),
        "direct": lambda: F.conv2d(x, w, padding=1, algorithm="direct"),
    }
    flops = 2.0 * n * c * c * 9 * size * size
    result = take_turns(Work("curves", name, calls, flops), budget, clock)
    auto, direct = (result.times[who].as_dict() for who in ("tenfold", "direct"))
    print(f"{name:20s} {duration(auto['median']):>9s}, direct {duration(direct['median']):>9s}", flush=True)
    return {
        "flops": flops, "bytes": 2.0 * x.nbytes + w.nbytes, "peak": result.probe.peak, "auto": auto, "direct": direct,
    }  # fmt: skip


def measure(budget: float, quick: bool, clock: Clock) -> dict[str, Any]:
    """Return the points of every curve; each has the peak and the bandwidth of its threads."""
    threads = tenfold.num_threads()
    step = 2 if quick else 1
    plans: list[tuple[str, str, tuple[int, ...], Callable[[int], tuple[int, int, int]]]] = [
        ("batch", "32 channels of 28 x 28", BATCHES[::step], lambda v: (v, 32, 28)),
        ("image", "1 image of 32 channels", IMAGES[::step], lambda v: (1, 32, v)),
        ("channels", "4 images of 28 x 28", CHANNELS[::step], lambda v: (4, v, 28)),
    ]
    curves: dict[str, Any] = {}
    moved = bandwidth(clock)
    for name, what, values, shape in plans:
        points = [
            {"value": v, "bandwidth": moved, **point(f"{name} {v}", *shape(v), budget, clock)} for v in values
        ]
        curves[name] = {"what": what, "points": points}
    points = []
    for v in range(1, threads + 1):
        tenfold.set_num_threads(v)
        found = point(f"threads {v}", *THREADS_SHAPE, 2 * budget, clock)
        points.append({"value": v, "bandwidth": bandwidth(clock), **found})
    n, c, size = THREADS_SHAPE
    curves["threads"] = {"what": f"{n} images of {c} channels of {size} x {size}", "points": points}
    return curves


def main() -> None:
    parser = argparse.ArgumentParser(prog="python bench/curves.py", description=__doc__)
    parser.add_argument("--seconds", type=float, help="per point; default: 0.5, and 0.1 with --quick")
    parser.add_argument("--threads", type=int, default=tenfold.num_threads())
    parser.add_argument("--cpu-time", action="store_true", help="processor time: with --threads 1")
    parser.add_argument("--quick", action="store_true", help="every other point")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    tenfold.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    curves = measure(options.seconds or (0.1 if options.quick else 0.5), options.quick, clock)
    if options.json:
        facts = {
            "clock": "processor time" if options.cpu_time else "wall time",
            "cpu": _core.cpu_name(), "isa": _core.isa(), "threads": options.threads,
            "tenfold": tenfold.__version__, "libraries": {},
        }  # fmt: skip
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"facts": facts, "curves": curves}, file, indent=1)


if __name__ == "__main__":
    main()

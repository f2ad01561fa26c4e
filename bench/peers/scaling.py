"""All threads against one: tenfold's and PyTorch's large layers, and a LeNet-5 step.

The contestants of a row are the same call with one thread and with all of them; the multiply-add peak is probed with
both as well, in front of every row, since two processors may share one core, or another user's work one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from layers import contest
from libraries import library
from measure import PROBE_SECONDS, Call, Work
from training import IMAGES, QUICK_IMAGES, digits, lenet_flops, tenfold_epoch, torch_epoch, torch_lenet5

import tenfold
from shapes import read
from tenfold import _core, models

ONE = ", 1 thread"
# Less work than this (0.2 s at a peak of 1 TFLOP/s, 2 ms at 100 GFLOP/s) is no large layer.
LARGE_FLOPS = 2e8
# Where a thread has less than this share of what it has alone, the machine is not ours alone.
LEAST_PEAK_SCALING = 0.95
MODELS = ("vgg16", "resnet50", "unet")
BATCHES = (64, 256)


def with_one(set_threads: Callable[[int], object], threads: int, call: Call) -> Call:
    """Return the call with one thread of its library."""

    def run() -> None:
        set_threads(1)
        call()
        set_threads(threads)

    return run


def peak_scaling(threads: int) -> float:
    """Return how many times the multiply-add peak of one thread all have now, by the best of some probes of both."""
    peaks = []
    for count in (1, threads):  # the last of them leaves all threads on
        tenfold.set_num_threads(count)
        peaks.append(max(_core.fma_peak(np.dtype(np.float32), PROBE_SECONDS) for _ in range(20)))
    return peaks[1] / peaks[0]


def facts(threads: int) -> dict[str, float]:
    """Return what is known of a row's minute; say so if a thread has clearly less than the peak that it has alone."""
    now = peak_scaling(threads)
    if now < LEAST_PEAK_SCALING * threads:
        print(f"{threads} threads have only {now:.2f} times the multiply-add peak of one now", flush=True)
    return {"peak_scaling": now}


def pairs(calls: dict[str, Call], threads: int) -> dict[str, Call]:
    """Return every contestant twice: with all threads, and with one."""
    torch: Any = library("torch")
    found = {}
    for name, call in calls.items():
        set_threads = tenfold.set_num_threads if name == "tenfold" else torch.set_num_threads
        found[name] = call
        found[name + ONE] = with_one(set_threads, threads, call)
    return found


def works(threads: int, shapes: list[str] | None, batches: list[int] | None, quick: bool) -> Iterator[Work]:
    """Yield the large layers of some models, forward and backward, and LeNet-5's training step."""
    for batch in batches or (BATCHES[:1] if quick else BATCHES):
        steps = max(2, (QUICK_IMAGES if quick else IMAGES) // batch)
        x, y = digits(steps * batch)
        calls = {"tenfold": tenfold_epoch(models.lenet5(), x, y, batch)}
        if library("torch"):
            calls["torch"] = torch_epoch(torch_lenet5, x, y, batch, False, False)
        name = f"LeNet-5 step, batch {batch}"
        known = {**facts(threads), "batch": batch}
        yield Work("scaling", name, pairs(calls, threads), lenet_flops(batch), steps, known)
    for layer in read(shapes or list(MODELS[:1] if quick else MODELS)):
        if layer.kind not in ("conv", "conv_transpose"):
            continue
        made = contest(layer)
        if made is None or made[1] < LARGE_FLOPS:
            continue
        for direction, which in (("forward", 0), ("backward", 1)):
            calls = {name: made[0][name][which] for name in ("tenfold", "torch") if name in made[0]}
            known = {**facts(threads), "model": layer.model, "layer": layer.name, "direction": direction}
            name = f"{layer.title} {direction}"
            yield Work("scaling", name, pairs(calls, threads), made[1] * (1 + which), facts=known)

"""Peak memory of a training step, each library in a process of its own: what it adds to its imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from measure import left_out

STEPS = 4

CODE = """
import sys, json
sys.path.insert(0, {folder!r})
import training, libraries
from tenfold import models
who, what, batch = sys.argv[1:4]
x, y = training.noise(int(batch) * {steps}, (1, 28, 28) if what == "lenet" else (3, 32, 32))
if who == "tenfold":
    model = models.lenet5() if what == "lenet" else models.resnet(10, 3, (64, 128, 256, 512), 2)
else:
    libraries.set_threads(int({threads}))
    make = training.torch_lenet5 if what == "lenet" else training.torch_resnet18
def kilobytes(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))
before = kilobytes("VmRSS")
if who == "tenfold":
    training.tenfold_epoch(model, x, y, int(batch))()
else:
    training.torch_epoch(make, x, y, int(batch), who == "channels_last", False)()
print(json.dumps([before, kilobytes("VmHWM")]))
"""


def rows(threads: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Measure, print and yield: the largest resident set during some steps, less what was resident before (Linux)."""
    from libraries import library

    names = ["tenfold", *(["torch", "channels_last"] if library("torch") else [])]
    # The allocator as users have it: with a raised threshold freed memory would stay counted.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    for what in ("lenet",) if quick else ("lenet", "resnet"):
        code = CODE.format(folder=os.path.dirname(os.path.abspath(__file__)), steps=STEPS, threads=threads)
        title = f"{ {'lenet': 'LeNet-5', 'resnet': 'ResNet-18 for CIFAR'}[what] } step, batch 64"
        added = {}
        for name in names:
            try:
                done = subprocess.run(
                    [sys.executable, "-c", code, name, what, "64"],
                    stdout=subprocess.PIPE, check=True, text=True, env=environment,
                )  # fmt: skip
            except subprocess.CalledProcessError as error:
                if name == "tenfold":
                    raise
                left_out(title, name, error)
                continue
            before, after = json.loads(done.stdout.splitlines()[-1])
            added[name] = (after - before) / 1024
        others = ", ".join(f"{n} {m:.1f} MB ({added['tenfold'] / m:.2f})" for n, m in list(added.items())[1:])
        print(f"memory       {title:34s} tenfold {added['tenfold']:.1f} MB added; {others}", flush=True)
        yield {"group": "memory", "name": title, "megabytes": added}

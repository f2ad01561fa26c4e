"""A LeNet-5 training epoch in tenfold and in PyTorch: the same data, batches, network, loss and optimiser."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from measure import table, take_turns

import tenfold
from tenfold import models, nn, optim
from tenfold.train import Trainer


def torch_lenet5() -> torch.nn.Module:
    t = torch.nn
    return t.Sequential(
        t.Conv2d(1, 6, 5, padding=2), t.ReLU(), t.MaxPool2d(2),
        t.Conv2d(6, 16, 5), t.ReLU(), t.MaxPool2d(2), t.Flatten(),
        t.Linear(400, 120), t.ReLU(), t.Linear(120, 84), t.ReLU(), t.Linear(84, 10),
    )  # fmt: skip


def torch_epoch(x: np.ndarray, y: np.ndarray, batch: int, channels_last: bool) -> Callable[[], None]:
    """Return a function that trains one shuffled epoch."""
    model = torch_lenet5()
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss_function = torch.nn.CrossEntropyLoss()

    def epoch() -> None:
        order = torch.randperm(len(images))
        for start in range(0, len(images), batch):
            rows = order[start : start + batch]
            optimizer.zero_grad()
            loss_function(model(images[rows]), labels[rows]).backward()
            optimizer.step()

    return epoch


def tenfold_epoch(x: np.ndarray, y: np.ndarray, batch: int) -> Callable[[], None]:
    trainer = Trainer(
        models.lenet5(),
        loss=nn.CrossEntropyLoss(),
        optimizer=optim.SGD(lr=0.01, momentum=0.9),
        metrics=["accuracy"],
    )

    def epoch() -> None:
        trainer.fit((x, y), epochs=1, batch_size=batch, progress=False)

    return epoch


def run(seconds: float, threads: int, batches: list[int]) -> str:
    torch.set_num_threads(threads)
    tenfold.set_num_threads(threads)
    rng = np.random.default_rng(0)
    rows = []
    for batch in batches:
        steps = max(4, 6400 // batch)
        x = rng.normal(size=(steps * batch, 1, 28, 28)).astype(np.float32)
        y = rng.integers(0, 10, len(x))
        times = take_turns(
            {
                "tenfold": tenfold_epoch(x, y, batch),
                "torch": torch_epoch(x, y, batch, channels_last=False),
                "torch channels_last": torch_epoch(x, y, batch, channels_last=True),
            },
            seconds, rest=0.2,
        )  # fmt: skip
        ours = times["tenfold"]
        for name, t in times.items():
            rows.append([
                f"batch {batch:4d}  {name}", f"{t.median / steps * 1e3:.3f}", f"{t.best / steps * 1e3:.3f}",
                f"{t.median / ours.median:.2f}", f"{t.best / ours.best:.2f}",
            ])  # fmt: skip
        time.sleep(0.2)
    return table(
        ["LeNet-5 training step", "median ms", "best ms", "/ tenfold median", "/ tenfold best"], rows
    )

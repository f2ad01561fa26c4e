"""Small models and data for the tests of training."""

from __future__ import annotations

import numpy as np

from tenfold import nn, optim
from tenfold.train import Callback, Trainer

RNG = np.random.default_rng(3)
X = RNG.standard_normal((103, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)


def model(dtype=np.float32, hidden=5):
    """Return a net with the same weights every time."""
    net = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2))
    rng = np.random.default_rng(7)
    for parameter in net.parameters():
        parameter.data = rng.uniform(-0.6, 0.6, parameter.shape).astype(np.float32).astype(dtype)
    return net


def trainer(optimizer=None, **settings):
    settings.setdefault("metrics", ["accuracy"])
    net = settings.pop("net", None) or model()
    return Trainer(net, nn.CrossEntropyLoss(), optimizer or optim.SGD(lr=0.1, momentum=0.9), **settings)


def weights(t):
    return {name: array.copy() for name, array in t.model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def rows(history):
    """Return the history without what the clock wrote."""
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")}
        for row in history.epochs
    ]


class StopAt(Callback):
    """Stops training after some step, which must be the end of a call."""

    def __init__(self, step):
        self.step = step

    def steps_to_next(self, trainer):
        return self.step - trainer.step if trainer.step < self.step else None

    def on_steps(self, trainer):
        if trainer.step == self.step:
            trainer.stop = True

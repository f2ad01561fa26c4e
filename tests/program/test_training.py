"""Training steps pick their samples out of the data set, whether the first operation gathers them or gets a copy."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import tenfold
from tenfold import functional as F
from tenfold import nn, optim
from tenfold.graph import FlatParameters, TrainingProgram, aligned_zeros

BATCH, STEPS, SAMPLES = 19, 4, 53


def samples(dtype):
    """Return images, half of whose rows are black, labels, and the order of STEPS batches."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((SAMPLES, 2, 10, 9)).astype(dtype)
    x[:, :, [0, 1, 2, 6, 8, 9]] = -0.5
    order = np.concatenate([rng.permutation(SAMPLES)[:BATCH] for _ in range(STEPS)])
    return x, rng.integers(0, 3, SAMPLES), order


def train(make, dtype, fuse, calls, optimizer=None):
    """Train by `calls` of (data, order) and return the losses, the weights and the gradients of the last step."""
    rng = np.random.default_rng(5)
    model = make(dtype)
    for parameter in model.parameters():
        parameter.data = (rng.standard_normal(parameter.shape) / 3).astype(dtype)
    flat = FlatParameters(list(model.parameters()))
    x, y = calls[0][0]
    types = [((BATCH, *x.shape[1:]), x.dtype), ((BATCH,), y.dtype)]
    program = TrainingProgram(lambda x, y: (F.cross_entropy(model(x), y),), types, flat, fuse)
    assert ("lane_segment" in program.core.kinds) == fuse
    optimizer = optimizer or optim.SGD(lr=0.1, momentum=0.9)
    states = [aligned_zeros(flat.values.size, flat.dtype) for _ in range(optimizer.state_count)]
    losses = []
    for step, (data, rows) in enumerate(calls):
        rates = np.full(len(rows) // BATCH, 0.1)
        done, results = program.run(optimizer.core, states, data, rows, rates, step, 0)
        assert done == len(rates)
        losses.append(results)
    return np.concatenate(losses), flat.values, flat.gradients


class Chain(nn.Module):
    """What a lane segment runs, from the images to the loss."""

    def __init__(self, dtype):
        super().__init__()
        self.first = nn.Conv2d(2, 5, 3, padding=1, dtype=dtype)
        self.last = nn.Linear(5 * 5 * 4, 3, dtype=dtype)

    def forward(self, x):
        return self.last(F.flatten(F.max_pool2d(F.relu(self.first(x)), 2), 1))


class Dense(nn.Module):
    """A chain whose first layer skips the background of its inputs; its weights are neither first nor last."""

    def __init__(self, dtype):
        super().__init__()
        self.last = nn.Linear(41, 3, dtype=dtype)
        self.first = nn.Linear(2 * 10 * 9, 41, dtype=dtype)

    def forward(self, x):
        return self.last(F.relu(self.first(F.flatten(x, 1))))


class TwoReaders(Chain):
    """Images that a lane segment and another operation read."""

    def forward(self, x):
        y = F.add(F.relu(self.first(x)), F.pad(F.mean(x, 1, keepdims=True), ((0, 0), (0, 4), (0, 0), (0, 0))))
        return self.last(F.flatten(F.max_pool2d(y, 2), 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "one_operation_per_node"])
@pytest.mark.parametrize("make", [Chain, Dense, TwoReaders])
def test_a_step_sees_the_samples_of_its_batch(make, fuse, dtype, isa):
    x, y, order = samples(dtype)
    run = partial(train, make, dtype, fuse)
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    losses, *flat = run([([x, y], order)])
    # The data set of the call before must be forgotten.
    one_by_one = run([([x[rows].copy(), y[rows].copy()], np.arange(BATCH)) for rows in batches])
    assert np.array_equal(losses, one_by_one[0])
    assert np.array_equal(flat, one_by_one[1:])
    assert len(np.unique(losses[:, 0])) == STEPS


@pytest.mark.parametrize(
    "optimizer", [optim.SGD(lr=0.1), optim.Adam(lr=0.1), optim.RMSprop(lr=0.1, momentum=0.9)],
    ids=["SGD", "Adam", "RMSprop"],
)  # fmt: skip
@pytest.mark.parametrize("make", [Chain, Dense])
def test_training_is_the_same_at_every_thread_count_and_as_one_operation_per_node(make, optimizer):
    """Who updates which share of the parameters changes nothing."""
    *data, order = samples(np.float64)
    before = tenfold.num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 5):
            tenfold.set_num_threads(threads)
            results.append(train(make, np.float64, True, [(data, order)], optimizer))
    finally:
        tenfold.set_num_threads(before)
    for losses, *flat in results[1:]:
        assert np.array_equal(losses, results[0][0])
        assert np.array_equal(flat, results[0][1:])
    losses, weights, _ = train(make, np.float64, False, [(data, order)], optimizer)
    np.testing.assert_allclose(results[0][0], losses, rtol=1e-9)
    np.testing.assert_allclose(results[0][1], weights, rtol=1e-9, atol=1e-9)


class Deep(Chain):
    """A chain behind which backward goes on: its weights are not the last to get a gradient."""

    def __init__(self, dtype):
        super().__init__(dtype)
        self.scale = nn.Parameter(np.ones((2, 1, 1), dtype))

    def forward(self, x):
        return super().forward(F.mul(x, self.scale))


class Tied(Dense):
    """Two chains that read the same weights."""

    def forward(self, x):
        x = F.flatten(x, 1)
        return F.add(self.last(F.relu(self.first(x))), self.last(F.relu(self.first(F.exp(x)))))


@pytest.mark.parametrize(
    "optimizer",
    [optim.SGD(lr=0.1), optim.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
     optim.AdamW(lr=0.1), optim.RMSprop(lr=0.1, momentum=0.9)],
    ids=["SGD", "Nesterov", "AdamW", "RMSprop"],
)  # fmt: skip
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("make", [Chain, Dense, Deep, Tied])
def test_handing_gradients_over_to_the_optimizer_changes_nothing(make, threads, optimizer):
    """A step that is the last of its run hands nothing over."""
    *data, order = samples(np.float32)
    batches = order.reshape(STEPS, BATCH)
    before = tenfold.num_threads()
    try:
        tenfold.set_num_threads(threads)
        at_once = train(make, np.float32, True, [(data, order)], optimizer)
        one_by_one = train(make, np.float32, True, [(data, rows.copy()) for rows in batches], optimizer)
    finally:
        tenfold.set_num_threads(before)
    for got, expected in zip(at_once, one_by_one, strict=True):
        assert np.array_equal(got, expected)

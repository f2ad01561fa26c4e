"""Training steps pick their samples out of the data set, whether the first operation gathers them or gets a copy."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold import functional as F
from tenfold import nn, optim
from tenfold.graph import FlatParameters, TrainingProgram, aligned_zeros

BATCH, STEPS, SAMPLES = 19, 4, 53


class Chain(nn.Module):
    """What a lane segment runs, from the images to the loss."""

    def __init__(self, dtype):
        super().__init__()
        self.first = nn.Conv2d(2, 5, 3, padding=1, dtype=dtype)
        self.last = nn.Linear(5 * 5 * 4, 3, dtype=dtype)

    def forward(self, x):
        return self.last(F.flatten(F.max_pool2d(F.relu(self.first(x)), 2), 1))


class TwoReaders(Chain):
    """Images that a lane segment and another operation read."""

    def forward(self, x):
        y = F.add(F.relu(self.first(x)), F.pad(F.mean(x, 1, keepdims=True), ((0, 0), (0, 4), (0, 0), (0, 0))))
        return self.last(F.flatten(F.max_pool2d(y, 2), 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "one_operation_per_node"])
@pytest.mark.parametrize("make", [Chain, TwoReaders])
def test_a_step_sees_the_samples_of_its_batch(make, fuse, dtype, isa):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((SAMPLES, 2, 10, 9)).astype(dtype)
    y = rng.integers(0, 3, SAMPLES)
    order = np.concatenate([rng.permutation(SAMPLES)[:BATCH] for _ in range(STEPS)])
    start = [rng.standard_normal(p.shape).astype(dtype) / 3 for p in make(dtype).parameters()]

    def run(calls):
        """Train by `calls` of (data, order) and return the losses and the weights."""
        model = make(dtype)
        for parameter, array in zip(model.parameters(), start, strict=True):
            parameter.data = array.copy()
        flat = FlatParameters(list(model.parameters()))
        types = [((BATCH, *x.shape[1:]), x.dtype), ((BATCH,), y.dtype)]
        program = TrainingProgram(lambda x, y: (F.cross_entropy(model(x), y),), types, flat, fuse)
        assert ("lane_segment" in program.core.kinds) == fuse
        optimizer = optim.SGD(lr=0.1, momentum=0.9)
        states = [aligned_zeros(flat.values.size, flat.dtype) for _ in range(optimizer.state_count)]
        losses = []
        for step, (data, rows) in enumerate(calls):
            rates = np.full(len(rows) // BATCH, 0.1)
            done, results = program.run(optimizer.core, states, data, rows, rates, step, 0)
            assert done == len(rates)
            losses.append(results)
        return np.concatenate(losses), flat.values

    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    losses, weights = run([([x, y], order)])
    # The data set of the call before must be forgotten.
    one_by_one = run([([x[rows].copy(), y[rows].copy()], np.arange(BATCH)) for rows in batches])
    assert np.array_equal(losses, one_by_one[0])
    assert np.array_equal(weights, one_by_one[1])
    assert len(np.unique(losses[:, 0])) == STEPS

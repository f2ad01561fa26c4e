"""Operations that move memory: activations, softmax, cross-entropy, bias, max-pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from layers import tenfold_calls, torch_calls
from libraries import library
from measure import TRIAD, Work, triad

from tenfold import functional as F


def works(quick: bool) -> Iterator[Work]:
    torch: Any = library("torch")
    if not torch:
        return
    t = torch.nn.functional
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 1000, 256)
    targets = torch.from_numpy(labels)
    shape = (64, 64, 56, 56)
    # The last two: how many arrays as large as the first one have to be read and written, forward and backward.
    cases: list[tuple[str, Any, Any, list[tuple[int, ...]], float, float]] = [
        ("relu", F.relu, t.relu, [shape], 2, 3),
        ("sigmoid", F.sigmoid, torch.sigmoid, [shape], 2, 3),
        ("tanh", F.tanh, torch.tanh, [shape], 2, 3),
        ("softmax", lambda x: F.softmax(x, axis=1), lambda x: t.softmax(x, 1), [(4096, 1000)], 2, 3),
        (
            "cross_entropy",
            lambda x: F.cross_entropy(x, labels),
            lambda x: t.cross_entropy(x, targets),
            [(256, 1000)],
            1,
            2,
        ),
        ("bias", F.add, lambda x, b: x + b, [shape, (64, 1, 1)], 2, 2),
        (
            "max_pool 2x2 s2",
            lambda x: F.max_pool2d(x, 2),
            lambda x: t.max_pool2d(x, 2),
            [shape],
            1.25,
            1.25,
        ),
        (
            "max_pool 3x3 s2 p1",
            lambda x: F.max_pool2d(x, 3, 2, 1),
            lambda x: t.max_pool2d(x, 3, 2, 1),
            [shape],
            1.25,
            1.25,
        ),
    ]
    for name, ours, theirs, shapes, *passes in cases[:: 3 if quick else 1]:
        arrays = [rng.normal(size=s).astype(np.float32) for s in shapes]
        forward, backward, dy = tenfold_calls(ours, arrays)
        contestants = {"tenfold": (forward, backward), "torch": torch_calls(theirs, arrays, dy, False)}
        if arrays[0].ndim == 4:
            contestants["channels_last"] = torch_calls(theirs, arrays, dy, True)
        for direction, which in (("forward", 0), ("backward", 1)):
            moved = 4.0 * arrays[0].size * passes[which]
            title = f"{name} {' x '.join(map(str, shapes[0]))} {direction}"
            calls = {who: pair[which] for who, pair in contestants.items()} | {TRIAD: triad(moved)}
            yield Work("elementwise", title, calls, facts={"bytes": moved, "direction": direction})

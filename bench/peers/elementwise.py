"""Operations that move memory: activations, softmax, cross-entropy, bias, max-pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from layers import tenfold_calls, torch_calls
from libraries import library
from measure import Work

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
    cases: list[tuple[str, Any, Any, list[tuple[int, ...]]]] = [
        ("relu", F.relu, t.relu, [shape]),
        ("sigmoid", F.sigmoid, torch.sigmoid, [shape]),
        ("tanh", F.tanh, torch.tanh, [shape]),
        ("softmax", lambda x: F.softmax(x, axis=1), lambda x: t.softmax(x, 1), [(4096, 1000)]),
        (
            "cross_entropy",
            lambda x: F.cross_entropy(x, labels),
            lambda x: t.cross_entropy(x, targets),
            [(256, 1000)],
        ),
        ("bias", F.add, lambda x, b: x + b, [shape, (64, 1, 1)]),
        ("max_pool 2x2 s2", lambda x: F.max_pool2d(x, 2), lambda x: t.max_pool2d(x, 2), [shape]),
        (
            "max_pool 3x3 s2 p1",
            lambda x: F.max_pool2d(x, 3, 2, 1),
            lambda x: t.max_pool2d(x, 3, 2, 1),
            [shape],
        ),
    ]
    for name, ours, theirs, shapes in cases[:: 3 if quick else 1]:
        arrays = [rng.normal(size=s).astype(np.float32) for s in shapes]
        forward, backward, dy = tenfold_calls(ours, arrays)
        contestants = {"tenfold": (forward, backward), "torch": torch_calls(theirs, arrays, dy, False)}
        if arrays[0].ndim == 4:
            contestants["channels_last"] = torch_calls(theirs, arrays, dy, True)
        for direction, which in (("forward", 0), ("backward", 1)):
            # Read, written, and in backward read again; softmax and the rest of the reductions pass once more.
            moved = 4.0 * (sum(a.size for a in arrays) + dy.size)
            title = f"{name} {' x '.join(map(str, shapes[0]))} {direction}"
            calls = {who: pair[which] for who, pair in contestants.items()}
            yield Work("elementwise", title, calls, facts={"bytes": moved, "direction": direction})

"""Single layers of bench/shapes, forward and backward, in tenfold and in PyTorch; ours in plain NCHW."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from libraries import library
from measure import Call, Work

from shapes import Layer, read
from tenfold import functional as F
from tenfold.graph import FunctionProgram

Contest = dict[str, tuple[Call, Call]]  # name: forward, backward


def tenfold_calls(f: Callable[..., object], arrays: list[np.ndarray]) -> tuple[Call, Call, np.ndarray]:
    program = FunctionProgram(f, arrays)
    y = program.forward(arrays)[0]
    dy = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    return lambda: f(*arrays), lambda: program.backward([dy]), dy


def torch_calls(
    f: Callable[..., Any], arrays: list[np.ndarray], dy: np.ndarray, channels_last: bool
) -> tuple[Call, Call]:
    torch: Any = library("torch")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    tensors = [torch.from_numpy(a).clone() for a in arrays]
    tensors = [t.to(memory_format=layout) if t.ndim == 4 else t for t in tensors]
    tensors = [t.requires_grad_() for t in tensors]
    with torch.no_grad():
        f(*tensors)
    y = f(*tensors)
    gradient = torch.from_numpy(dy)
    gradient = gradient.to(memory_format=layout) if gradient.ndim == 4 else gradient

    def forward() -> object:
        with torch.no_grad():
            return f(*tensors)

    return forward, lambda: torch.autograd.grad(y, tensors, gradient, retain_graph=True)


def contest(layer: Layer) -> tuple[Contest, float, float] | None:
    """Return the contestants of a layer, and the floating-point operations and bytes of its forward."""
    rng = np.random.default_rng(0)
    make = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    torch: Any = library("torch")
    t = torch.nn.functional if torch else None
    n = layer.numbers
    if layer.kind == "conv":
        batch, c, h, w, f, kh, kw, stride, pad, dilation, groups = n
        arrays = [make(batch, c, h, w), make(f, c // groups, kh, kw), make(f)]
        settings = {"stride": stride, "padding": pad, "dilation": dilation, "groups": groups}
        ours: Callable[..., object] = lambda x, k, b: F.conv2d(x, k, b, **settings)  # noqa: E731
        theirs: Callable[..., Any] = lambda x, k, b: t.conv2d(x, k, b, **settings)  # noqa: E731
    elif layer.kind == "conv_transpose":
        batch, c, h, w, f, kh, kw, stride, pad, output_padding, groups = n
        arrays = [make(batch, c, h, w), make(c, f // groups, kh, kw), make(f)]
        settings = {"stride": stride, "padding": pad, "output_padding": output_padding, "groups": groups}
        ours = lambda x, k, b: F.conv_transpose2d(x, k, b, **settings)  # noqa: E731
        theirs = lambda x, k, b: t.conv_transpose2d(x, k, b, **settings)  # noqa: E731
    elif layer.kind == "pool":
        batch, c, h, w, kernel, stride, pad = n
        arrays = [make(batch, c, h, w)]
        ours = lambda x: F.max_pool2d(x, kernel, stride, pad)  # noqa: E731
        theirs = lambda x: t.max_pool2d(x, kernel, stride, pad)  # noqa: E731
    elif layer.kind == "gemm":
        rows, columns, inner, transpose_a, transpose_b = n
        if transpose_a:
            return None
        arrays = [make(rows, inner), make(columns, inner) if transpose_b else make(inner, columns)]
        ours = lambda x, w: F.linear(x, w) if transpose_b else F.matmul(x, w)  # noqa: E731
        theirs = lambda x, w: t.linear(x, w) if transpose_b else torch.matmul(x, w)  # noqa: E731
    else:
        return None
    forward, backward, dy = tenfold_calls(ours, arrays)
    contestants: Contest = {"tenfold": (forward, backward)}
    if torch:
        contestants["torch"] = torch_calls(theirs, arrays, dy, False)
    if torch and arrays[0].ndim == 4:
        contestants["channels_last"] = torch_calls(theirs, arrays, dy, True)
    y = dy
    multiplied = {"conv": y, "conv_transpose": arrays[0]}.get(layer.kind)
    flops = 2.0 * multiplied.size * arrays[1].size / arrays[1].shape[0] if multiplied is not None else 0.0
    if layer.kind == "gemm":
        flops = 2.0 * y.size * n[2]
    # Every array once: backward reads what it needs of the input, and writes as much.
    moved = 4.0 * (sum(a.size for a in arrays) + y.size)
    return contestants, flops, moved


def works(models: list[str] | None, names: str = "") -> Iterator[Work]:
    """Yield two works per layer whose title has a match of `names`: forward and backward."""
    for layer in read(models):
        if not re.search(names, layer.title):
            continue
        made = contest(layer)
        if made is None:
            continue
        contestants, flops, moved = made
        for direction, which in (("forward", 0), ("backward", 1)):
            calls = {name: pair[which] for name, pair in contestants.items()}
            facts = {
                "model": layer.model, "kind": layer.kind, "layer": layer.name, "direction": direction,
                "numbers": list(layer.numbers), "bytes": moved * (1 + which),
            }  # fmt: skip
            yield Work("layers", f"{layer.title} {direction}", calls, flops * (1 + which), facts=facts)

"""Single layers, forward and backward, in tenfold and in PyTorch; arrays in plain NCHW."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from measure import Times, repeat_for, table, take_turns

import tenfold
from shapes import Layer, read
from tenfold import functional as F
from tenfold.graph import FunctionProgram

Call = Callable[[], object]
Contest = dict[str, tuple[Call, Call]]  # name: forward, backward


def tenfold_calls(f: Callable[..., object], arrays: list[np.ndarray]) -> tuple[Call, Call, np.ndarray]:
    program = FunctionProgram(f, arrays)
    y = program.forward(arrays)[0]
    dy = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    return lambda: program.forward(arrays), lambda: program.backward([dy]), dy


def torch_calls(
    f: Callable[..., torch.Tensor], arrays: list[np.ndarray], dy: np.ndarray, channels_last: bool
) -> tuple[Call, Call]:
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


def contest(layer: Layer) -> tuple[Contest, float] | None:
    """Return the contestants of a layer and the floating-point operations of its forward."""
    rng = np.random.default_rng(0)
    make = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    t = torch.nn.functional
    n = layer.numbers
    if layer.kind == "conv":
        batch, c, h, w, f, kh, kw, stride, pad, dilation, groups = n
        arrays = [make(batch, c, h, w), make(f, c // groups, kh, kw), make(f)]
        settings = {"stride": stride, "padding": pad, "dilation": dilation, "groups": groups}
        ours: Callable[..., object] = lambda x, k, b: F.conv2d(x, k, b, **settings)  # noqa: E731
        theirs: Callable[..., torch.Tensor] = lambda x, k, b: t.conv2d(x, k, b, **settings)  # noqa: E731
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
    contestants: Contest = {"tenfold": (forward, backward), "torch": torch_calls(theirs, arrays, dy, False)}
    if arrays[0].ndim == 4:
        contestants["channels_last"] = torch_calls(theirs, arrays, dy, True)
    y = dy
    flops = 2.0 * y.size * arrays[1].size / arrays[1].shape[0] if layer.kind == "conv" else 0.0
    if layer.kind == "gemm":
        flops = 2.0 * y.size * n[2]
    return contestants, flops


def per_call(calls: dict[str, Call], seconds: float) -> dict[str, Times]:
    """Time calls in turns, short ones several at a time."""
    repeated = {name: repeat_for(call) for name, call in calls.items()}
    times = take_turns({name: call for name, (call, _) in repeated.items()}, seconds, rest=0.01, warm_up=1)
    return {name: Times(tuple(s / repeated[name][1] for s in t.seconds)) for name, t in times.items()}


def run(seconds: float, threads: int, models: list[str] | None) -> str:
    torch.set_num_threads(threads)
    tenfold.set_num_threads(threads)
    rows = []
    ratios: dict[str, list[float]] = {"torch": [], "channels_last": []}
    for layer in read(models):
        made = contest(layer)
        if made is None:
            continue
        contestants, flops = made
        for direction, which in (("forward", 0), ("backward", 1)):
            times = per_call({name: calls[which] for name, calls in contestants.items()}, seconds / 2)
            ours = times["tenfold"]
            work = flops * (2 if which else 1)
            cells = [f"{layer.title} {direction}", f"{ours.median * 1e3:.3f}"]
            cells.append(f"{work / ours.median / 1e9:.0f}" if work else "")
            for name in ("torch", "channels_last"):
                if name not in times:
                    cells.append("")
                    continue
                ratio = times[name].median / ours.median
                ratios[name].append(ratio)
                cells.append(f"{ratio:.2f}")
            rows.append(cells)
            print("  ".join(cells), flush=True)
    means = [f"{math.exp(sum(map(math.log, r)) / len(r)):.2f}" if r else "" for r in ratios.values()]
    rows.append(["geometric mean", "", "", *means])
    return "\n" + table(["layer", "ms", "GFLOP/s", "torch / ours", "channels_last / ours"], rows)

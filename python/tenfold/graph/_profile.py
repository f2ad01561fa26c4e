"""Where the time of a compiled model goes: seconds, GFLOP/s and share of the peak, operation by operation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._random import next_seed
from ._autodiff import _array
from ._program import InputType, _Bound, _trace, as_symbol
from ._trace import Parameter

_LEAST, _MOST = 5, 10_000  # repetitions
_MERGED = {"copy": "copies of gradients", "add": "sums of gradients", "zero": "zero gradients"}


@dataclass(frozen=True)
class Timing:
    """How long an operation took in one direction.

    Attributes
    ----------
    seconds, best : float
        Median and smallest of all repetitions.
    flops : float
        Floating-point operations of one repetition; a multiply-add counts two, copying and comparing none.
    """

    seconds: float
    best: float
    flops: float

    @property
    def rate(self) -> float:
        """Floating-point operations per second, by the median."""
        return self.flops / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Operation:
    """One operation of the compiled program: a layer, several that were fused, or a function.

    Attributes
    ----------
    name : str
        Of the module it came from, as in ``named_modules``; a chain has the names of all its layers. Empty for what
        belongs to no layer.
    kind : str
        ``"conv+relu"`` is a convolution with the activation in its epilogue, ``"lane_segment"`` a chain of small
        layers.
    output_shape : tuple of int
    forward, backward : Timing or None
        None where the program does nothing.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    forward: Timing | None
    backward: Timing | None

    @property
    def label(self) -> str:
        """The name, that of a chain as ``first … last``."""
        parts = self.name.split() if self.kind == "lane_segment" else []
        return f"{parts[0]} … {parts[-1]}" if len(parts) > 2 else self.name or "-"

    @property
    def seconds(self) -> float:
        """Of both directions."""
        return sum(t.seconds for t in (self.forward, self.backward) if t is not None)


@dataclass(frozen=True)
class Profile:
    """What :func:`profile` measured; ``print`` shows a table, :func:`tenfold.plot.profile` draws it.

    Attributes
    ----------
    operations : tuple of Operation
        In the order of the forward pass.
    forward, backward : Timing or None
        Of all operations together.
    peak : float
        Floating-point operations per second that all threads reach with multiply-adds alone, measured just before and
        just after.
    repetitions, threads : int
    """

    title: str
    input_shape: tuple[int, ...]
    dtype: str
    isa: str
    threads: int
    repetitions: int
    peak: float
    operations: tuple[Operation, ...]
    forward: Timing
    backward: Timing | None

    @property
    def seconds(self) -> float:
        """One forward and one backward pass."""
        return self.forward.seconds + (self.backward.seconds if self.backward is not None else 0.0)

    @property
    def rate(self) -> float:
        """Floating-point operations per second, both directions together."""
        flops = self.forward.flops + (self.backward.flops if self.backward is not None else 0.0)
        return flops / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        directions = 1 if self.backward is None else 2
        head = ["layer", "operation", "output", *["µs", "GFLOP/s", "of peak"] * directions, "time"]
        body = [
            [
                o.label, o.kind, " x ".join(map(str, o.output_shape)) or "scalar",
                *self._cells(o.forward), *(self._cells(o.backward) if directions == 2 else []),
                f"{100 * o.seconds / self.seconds:.1f} %",
            ]
            for o in self.operations
        ]  # fmt: skip
        total = [
            "total",
            "",
            "",
            *self._cells(self.forward),
            *(self._cells(self.backward) * (directions - 1)),
            "",
        ]
        widths = [max(len(line[i]) for line in [head, total, *body]) for i in range(len(head))]

        def line(cells: Sequence[str]) -> str:
            shown = [
                c.ljust(w) if i < 3 else c.rjust(w)
                for i, (c, w) in enumerate(zip(cells, widths, strict=True))
            ]
            return "  ".join(shown).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        blocks = [sum(widths[i : i + 3]) + 4 for i in (0, 3, 6)[: directions + 1]]
        above = "  ".join(
            [" " * blocks[0], *(n.center(w) for n, w in zip(("forward", "backward"), blocks[1:]))]
        )
        lines = [
            f"{self.title}, input {' x '.join(map(str, self.input_shape))}, {self.dtype}",
            f"{self.isa}, {_threads(self.threads)}, peak {self.peak / 1e9:.0f} GFLOP/s; "
            f"medians of {self.repetitions:,} repetitions",
            rule, above.rstrip(), line(head), rule, *map(line, body), rule, line(total),
            f"{self.seconds * 1e3:.3f} ms in all, {self.rate / 1e9:.1f} GFLOP/s, "
            f"{100 * self.rate / self.peak:.1f} % of peak",
        ]  # fmt: skip
        if any(o.kind == "lane_segment" for o in self.operations):
            lines.append(
                "lane_segment: a chain of small layers that runs by blocks of samples; when its loss is in it, its\n"
                "forward computes most of the gradients too. fuse=False (--no-fuse) shows layer by layer."
            )
        return "\n".join(lines)

    def _cells(self, timing: Timing | None) -> list[str]:
        if timing is None:
            return ["", "", ""]
        rate = (
            [f"{timing.rate / 1e9:.1f}", f"{100 * timing.rate / self.peak:.1f} %"]
            if timing.flops
            else ["", ""]
        )
        return [f"{timing.seconds * 1e6:,.1f}", *rate]


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def profile(
    model: Any,
    x: Any,
    target: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
    *,
    backward: bool = True,
    fuse: bool = True,
    seconds: float = 1.0,
) -> Profile:
    """Compile a model as it is compiled for training, and time it operation by operation.

    Forward and backward run whole, again and again, as in training, and the clock is read after every operation: each
    finds the caches as it would there. Parameters, buffers and running statistics stay as they are.

    Parameters
    ----------
    model : nn.Module or callable
        In its present mode (``train()`` or ``eval()``); a callable is written with :mod:`tenfold.functional`.
    x : ndarray, shape (N, ...)
        A batch.
    target : ndarray, optional
        What ``loss`` compares the output with; both or neither. With them the program is that of a ``Trainer``'s step
        without the optimiser; without them the output's gradient is random.
    loss : callable, optional
        ``loss(output, target)`` returns one number, such as ``nn.CrossEntropyLoss()``.
    backward : bool
        False compiles for inference. Otherwise gradients are those of the parameters, or of ``x`` when there are none.
    fuse : bool
        False keeps one operation per layer.
    seconds : float
        About how long to measure; at least five repetitions.

    Returns
    -------
    Profile
        ``print`` it for a table; :func:`tenfold.plot.profile` draws it.

    Raises
    ------
    TypeError
        If an argument is no float32, float64 or int64 array, or the model returns something else.
    ValueError
        If the model does not take this shape, only one of ``target`` and ``loss`` is given, the loss is not one number,
        or there is nothing to compute.

    Examples
    --------
    >>> import numpy as np, tenfold
    >>> from tenfold import nn
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    >>> p = tenfold.profile(model, np.ones((8, 64), np.float32), seconds=0.01)
    >>> [(o.name, o.kind, o.forward.flops) for o in p.operations[:3]]
    [('0', 'linear', 32768.0), ('1', 'tanh', 256.0), ('2', 'linear', 5120.0)]
    """
    if (target is None) != (loss is None):
        raise ValueError("profile: target and loss must be given together; received only one of them")
    arrays = [_array(x, "profile", "x")]
    if target is not None:
        arrays.append(_array(target, "profile", "target"))

    def function(*symbols: Any) -> Any:
        output = model(symbols[0])
        return output if loss is None else loss(output, symbols[1])

    types: list[InputType] = [(a.shape, a.dtype) for a in arrays]
    trace, result = _trace(function, types)
    results = result if isinstance(result, tuple) else (result,)
    outputs = [as_symbol(trace, r, "profile: the model") for r in results]
    if loss is not None and (len(outputs) != 1 or outputs[0].size != 1):
        raise ValueError(f"profile: the loss must be one number; received shape {outputs[0].shape}")
    leaves = []
    if backward:
        leaves = [s for v, s in trace.variables.values() if isinstance(v, Parameter)]
        leaves = leaves or [s for s in trace.inputs if s.dtype != np.int64]
    bound = _Bound(trace, outputs, gradients=[s.id for s in leaves], fuse=fuse)
    for leaf in leaves:
        bound.core.bind_gradient(leaf.id, np.zeros(leaf.shape, leaf.dtype))
    rng = np.random.default_rng(0)
    d_outputs = [
        np.ones(s.shape, s.dtype) if loss is not None
        else None if s.dtype == np.int64
        else np.asarray(rng.normal(size=s.shape)).astype(s.dtype)
        for s in outputs
    ] if backward else []  # fmt: skip
    seed = next_seed() if trace.random else 0
    dtype = next(
        (s.dtype for s in leaves), np.dtype(np.float64 if arrays[0].dtype == np.float64 else np.float32)
    )

    start = time.perf_counter()
    bound.core.profile(arrays, d_outputs, seed, 1)
    once = (time.perf_counter() - start) / 2  # it runs once before it measures
    repetitions = min(_MOST, max(_LEAST, int(seconds / max(once, 1e-7))))
    peak = _core.fma_peak(dtype, 0.02)
    instructions = bound.core.profile(arrays, d_outputs, seed, repetitions)
    peak = max(peak, _core.fma_peak(dtype, 0.02))
    if not instructions:
        raise ValueError("profile: the model must compute something; received one that returns its input")
    return Profile(
        type(model).__name__ if hasattr(model, "named_modules") else getattr(model, "__name__", "function"),
        arrays[0].shape, dtype.name, _core.isa(), _core.num_threads(), repetitions, peak,
        tuple(_operations(instructions)),
        _timing([i for i in instructions if not i["backward"]]),
        _timing([i for i in instructions if i["backward"]]) if backward else None,
    )  # fmt: skip


def _timing(instructions: Sequence[dict[str, Any]]) -> Timing:
    seconds = sum((i["seconds"] for i in instructions), np.zeros(1))
    return Timing(float(np.median(seconds)), float(seconds.min()), sum(i["flops"] for i in instructions))


def _operations(instructions: Sequence[dict[str, Any]]) -> list[Operation]:
    """Join what belongs together: the two directions of a node, and all copies, sums and zeros."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for i in instructions:
        groups.setdefault(i["node"] if i["node"] >= 0 else i["kind"], []).append(i)
    operations = []
    for key, group in sorted(groups.items(), key=lambda item: isinstance(item[0], str)):
        first = group[0]
        forward, backward = ([i for i in group if i["backward"] == b] for b in (False, True))
        of_node = isinstance(key, int)
        operations.append(
            Operation(
                first["name"],
                first["kind"] if of_node else _MERGED[first["kind"]],
                first["output"] if of_node or len(group) == 1 else (),
                _timing(forward) if forward else None,
                _timing(backward) if backward else None,
            )
        )
    return operations

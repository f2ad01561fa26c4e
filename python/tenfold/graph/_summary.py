"""What a model is made of: shapes, parameters and floating-point operations per layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._trace import Symbol, Trace


@dataclass(frozen=True)
class Row:
    """One layer, or one function called by a module that has parts."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    flops: float


@dataclass(frozen=True)
class Summary:
    """The rows of :func:`summary` and their sums; ``print`` shows a table.

    Attributes
    ----------
    rows : tuple of Row
        ``name``, ``kind``, ``output_shape`` (batch axis first, 1), ``parameters``, ``flops``.
    parameters : int
        Every parameter counted once, wherever it is used.
    flops : float
        Of one forward pass of one sample; a multiply-add counts two.
    """

    title: str
    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    flops: float
    parameter_bytes: int

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "FLOPs")
        body = [
            (row.name, row.kind, _shape(row.output_shape), f"{row.parameters:,}", _flops(row.flops))
            for row in self.rows
        ]
        total = ("total", "", "", f"{self.parameters:,}", _flops(self.flops))
        widths = [max(len(line[i]) for line in [head, total, *body]) for i in range(len(head))]

        def line(cells: Sequence[str]) -> str:
            left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
            return "  ".join(left + right).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        size = f"{self.parameter_bytes / 1024:,.1f} KiB of parameters"
        lines = [f"{self.title}, input {_shape(self.input_shape)}", rule, line(head), rule]
        return "\n".join([*lines, *map(line, body), rule, line(total), size])


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape[1:])) if len(shape) > 1 else "scalar"


def _flops(flops: float) -> str:
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if flops >= factor:
            return f"{flops / factor:.2f} {unit}"
    return f"{flops:.0f}"


def summary(model: Any, input_shape: Sequence[int], dtype: Any = None) -> Summary:
    """Describe a model layer by layer for one sample.

    Parameters
    ----------
    model : nn.Module
    input_shape : sequence of int
        Of one sample, without the batch axis: (C, H, W) for images.
    dtype : dtype, optional
        Of the input; by default that of the model's parameters, float32 without any.

    Returns
    -------
    Summary
        ``print`` it for a table; ``rows``, ``parameters`` and ``flops`` hold the numbers.

    Raises
    ------
    ValueError
        If the model does not take this shape; the layer's own message says why.

    Examples
    --------
    >>> import tenfold
    >>> from tenfold import nn
    >>> s = tenfold.summary(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (4,))
    >>> s.parameters, s.flops
    (15, 27.0)
    """
    parameters = dict(model.named_parameters())
    if dtype is None:
        dtype = next((p.dtype for p in parameters.values()), np.dtype(np.float32))
    trace = Trace()
    shape = (1, *(int(n) for n in input_shape))
    with trace.recording():
        result = model(trace.input(shape, dtype))
    if not isinstance(result, Symbol):
        raise TypeError(f"summary: the model must return one array; received {type(result).__name__}")

    modules = dict(model.named_modules())
    counted: set[int] = set()
    rows: list[Row] = []
    last_layer: str | None = None
    for node in trace.graph.nodes():
        name = node["name"]
        module = modules.get(name)
        layer = name if module is not None and name and not any(True for _ in module._modules) else None
        output = trace.graph.shape(node["outputs"][0])
        if layer is not None and layer == last_layer:
            previous = rows.pop()
            rows.append(
                Row(layer, previous.kind, output, previous.parameters, previous.flops + node["flops"])
            )
            continue
        last_layer = layer
        own = 0
        if layer is not None:
            for parameter in modules[layer].parameters():
                own += parameter.size if id(parameter) not in counted else 0
                counted.add(id(parameter))
        kind = type(module).__name__ if layer is not None else node["kind"]
        rows.append(Row(name or "-", kind, output, own, node["flops"]))
    return Summary(
        type(model).__name__, shape, tuple(rows),
        sum(p.size for p in parameters.values()),
        sum(row.flops for row in rows),
        sum(p.data.nbytes for p in parameters.values()),
    )  # fmt: skip

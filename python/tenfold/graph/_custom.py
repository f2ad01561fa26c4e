"""One's own operations, written in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._trace import Array, Symbol, Variable, active


class Function:
    """An operation written in NumPy that works on arrays and stands in a graph like any other.

    Subclass it and write ``forward`` and ``backward``. In a compiled program they are called from C++ (the other
    threads wait meanwhile), so they may use anything Python has.

    Examples
    --------
    >>> import numpy as np, tenfold
    >>> class Cube(tenfold.Function):
    ...     def forward(self, x):
    ...         return x**3
    ...     def backward(self, inputs, outputs, d_outputs):
    ...         return 3 * inputs[0] ** 2 * d_outputs[0]
    >>> y, pull = tenfold.vjp(Cube(), np.array([2.0]))
    >>> y, pull(np.array([1.0]))
    (array([8.]), (array([12.]),))
    """

    def forward(self, *inputs: Array) -> Any:
        """Return the output, or a tuple of outputs, for read-only input arrays."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def backward(
        self, inputs: tuple[Array, ...], outputs: tuple[Array, ...], d_outputs: tuple[Array, ...]
    ) -> Any:
        """Return one gradient per input (a tuple when there are several), None for an input that has none."""
        raise NotImplementedError(f"{type(self).__name__} has no backward, so it cannot be differentiated")

    def output_types(self, *inputs: Any) -> Sequence[tuple[Sequence[int], Any]]:
        """Return (shape, dtype) of every output, from inputs that have a shape and a dtype but no numbers.

        The default is one output like the first input.
        """
        return [(inputs[0].shape, inputs[0].dtype)]

    def __call__(self, *inputs: Any) -> Any:
        symbols = [v for v in inputs if isinstance(v, Symbol)]
        trace = symbols[0].trace if symbols else active()
        if trace is None or not any(isinstance(v, (Symbol, Variable)) for v in inputs):
            return self.forward(*[v.data if isinstance(v, Variable) else np.asarray(v) for v in inputs])
        recorded = trace.record_callback(
            type(self).__name__, self._forward, self._backward, inputs, self.output_types(*inputs)
        )
        return recorded[0] if len(recorded) == 1 else tuple(recorded)

    def _forward(self, *inputs: Array) -> list[Any]:
        return _listed(self.forward(*inputs))

    def _backward(self, *call: tuple[Array, ...]) -> list[Any]:
        return _listed(self.backward(*call))


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]

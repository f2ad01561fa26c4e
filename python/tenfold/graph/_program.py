"""From a Python function to a compiled program that runs in C++."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ._trace import Array, Parameter, Symbol, Trace, Variable, contiguous, rebinding

# Parameters start at multiples of this many elements in a flat vector: a cache line of float32.
_ALIGNMENT = 16

InputType = tuple[Sequence[int], npt.DTypeLike]


def aligned_zeros(count: int, dtype: npt.DTypeLike) -> Array:
    """Return a zeroed vector whose first element lies on a cache line."""
    dtype = np.dtype(dtype)
    raw = np.zeros(count * dtype.itemsize + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * dtype.itemsize].view(dtype)


class FlatParameters:
    """Parameters in one flat vector, and their gradients in another.

    Every parameter's ``data`` is rebound to a view of ``values``, so a change of one is a change of the other. The gaps
    between parameters are zero and stay zero.

    Parameters
    ----------
    parameters : sequence of Parameter
        All float32 or all float64.

    Attributes
    ----------
    values, gradients : ndarray, shape (n,)
        n is the sum of the parameters' sizes, each rounded up to a multiple of 16.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = list(dict.fromkeys(parameters))
        dtypes = {p.dtype for p in self.parameters}
        if len(dtypes) > 1:
            raise TypeError(
                f"FlatParameters: parameters must share one dtype; received {sorted(map(str, dtypes))}"
            )
        self.dtype = dtypes.pop() if dtypes else np.dtype(np.float32)
        self.offsets: list[int] = []
        count = 0
        for parameter in self.parameters:
            self.offsets.append(count)
            count += -(-parameter.size // _ALIGNMENT) * _ALIGNMENT
        self.values = aligned_zeros(count, self.dtype)
        self.gradients = aligned_zeros(count, self.dtype)
        for parameter, view in zip(self.parameters, self.views(self.values), strict=True):
            view[...] = parameter.data
            parameter.data = view

    def views(self, flat: Array) -> list[Array]:
        """Return one view per parameter, of its shape, into a flat vector laid out like ``values``."""
        return [
            flat[offset : offset + p.size].reshape(p.shape)
            for p, offset in zip(self.parameters, self.offsets, strict=True)
        ]


def _trace(function: Callable[..., Any], input_types: Sequence[InputType]) -> tuple[Trace, Any]:
    trace = Trace()
    symbols = [trace.input(shape, dtype) for shape, dtype in input_types]
    with trace.recording():
        return trace, function(*symbols)


def as_symbol(trace: Trace, value: Any, what: str) -> Symbol:
    """Return a function's result as a symbol of the trace."""
    if isinstance(value, Symbol) and value.trace is trace:
        return value
    if isinstance(value, Variable):
        return trace.variable(value)
    if isinstance(value, (np.ndarray, np.floating)):
        return trace.constant(np.asarray(value))
    raise TypeError(f"{what} must return an array or a tuple of arrays; received {type(value).__name__}")


class _Bound:
    """A core program whose variables are bound to their arrays, and bound again when an array was replaced."""

    def __init__(self, trace: Trace, outputs: Sequence[Symbol], **spec: Any) -> None:
        self._trace = trace
        self.core = _core.Program(
            trace.graph, [s.id for s in trace.inputs], [s.id for s in outputs],
            updates=[(trace.variable(variable).id, value.id) for variable, value in trace.updates], **spec
        )  # fmt: skip
        self._bound_to: list[tuple[Variable, Array]] = []
        self.looked = -1  # the number of the last rebinding when they were compared
        for array, symbol in trace.constants:
            self.core.bind(symbol.id, contiguous(array))
        self._bind()

    def bind_variables(self) -> None:
        if rebinding.number == self.looked:
            return
        looked = rebinding.number
        for variable, data in self._bound_to:
            if variable.data is not data:
                self._bind()
                return
        self.looked = looked

    def _bind(self) -> None:
        bound_to = []
        for variable, symbol in self._trace.variables.values():
            data = variable.data
            if data.shape != symbol.shape or data.dtype != symbol.dtype:
                raise ValueError(
                    f"{variable!r} changed its shape or dtype after it was compiled; "
                    f"it was {symbol.dtype} {symbol.shape}"
                )
            if not data.flags.c_contiguous:
                variable.data = data = np.ascontiguousarray(data)
            self.core.bind(symbol.id, data)
            bound_to.append((variable, data))
        self._bound_to = bound_to


class InferenceProgram:
    """A function of arrays as a program without gradients.

    Parameters
    ----------
    function : callable
        Written with :mod:`tenfold.functional`; given symbols it returns one or a tuple of them.
    input_types : sequence of (shape, dtype)
    fuse : bool
        False keeps one operation per node.
    """

    def __init__(
        self, function: Callable[..., Any], input_types: Sequence[InputType], fuse: bool = True
    ) -> None:
        trace, result = _trace(function, input_types)
        self._single = not isinstance(result, tuple)
        results = (result,) if self._single else result
        self._bound = _Bound(trace, [as_symbol(trace, r, "a traced function") for r in results], fuse=fuse)
        self._update = bool(trace.updates)
        self.random = trace.random

    @property
    def core(self) -> Any:
        """The compiled program."""
        return self._bound.core

    def run_if_fits(self, arrays: tuple[Any, ...]) -> Any:
        """Return the results for contiguous arrays of the types it was made for, None for anything else."""
        bound = self._bound
        if bound.looked != rebinding.number:
            bound.bind_variables()
        results = bound.core.forward_if_fits(arrays, self._update)
        if results is None:
            return None
        return results[0] if self._single else tuple(results)

    def __call__(self, *arrays: Array, seed: int = 0) -> Any:
        bound = self._bound
        bound.bind_variables()
        results = bound.core.forward([contiguous(a) for a in arrays], seed, 0, self._update)
        return results[0] if self._single else tuple(results)


class TrainingProgram:
    """A training step, loss first, as a program that runs many steps without Python.

    Parameters
    ----------
    function : callable
        Given one symbol per input, returns scalar symbols: the loss, then metrics.
    input_types : sequence of (shape, dtype)
        Shapes include the batch axis, the same for all inputs.
    flat : FlatParameters
        What is trained; several programs (batch sizes) may share it.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[Any]],
        input_types: Sequence[InputType],
        flat: FlatParameters,
        fuse: bool = True,
    ) -> None:
        trace, results = _trace(function, input_types)
        outputs = [as_symbol(trace, r, "a training step") for r in results]
        if outputs[0].size != 1 or outputs[0].dtype != flat.dtype:
            raise ValueError(
                f"TrainingProgram: the loss must be one {flat.dtype} number; received {outputs[0].dtype} "
                f"of shape {outputs[0].shape}"
            )
        self.output_count = len(outputs)
        self._flat = flat
        for parameter in flat.parameters:
            trace.variable(parameter)
        wanted = [trace.variable(p).id for p in flat.parameters]
        self._bound = _Bound(trace, outputs, gradients=wanted, differentiated_outputs=1, fuse=fuse)
        for leaf, view in zip(wanted, flat.views(flat.gradients), strict=True):
            self._bound.core.bind_gradient(leaf, view)

    @property
    def core(self) -> Any:
        """The compiled program."""
        return self._bound.core

    def run(
        self,
        optimizer: Any,
        states: Sequence[Array],
        data: Sequence[Array],
        order: Array,
        learning_rates: Array,
        first_step: int,
        seed: int,
    ) -> tuple[int, Array]:
        """Run steps on mini-batches; return how many were completed and every step's outputs.

        Parameters
        ----------
        optimizer : _core.Optimizer
        states : sequence of ndarray
            ``optimizer.state_count`` vectors like ``flat.values``.
        data : sequence of ndarray, shape (samples, ...)
            C-contiguous, one per input.
        order : ndarray of int64, shape (steps * batch,)
            The samples of each batch.
        learning_rates : ndarray of float64, shape (steps,)
        first_step : int
            Number of the first step since training began.
        seed : int
            Of random operations such as dropout.

        Returns
        -------
        (int, ndarray of shape (steps, outputs))
            Fewer than all steps when a loss was not finite: that step changed nothing and its outputs are in its row.
        """
        self._bound.bind_variables()
        results = np.zeros((len(learning_rates), self.output_count))
        done = self._bound.core.train(
            optimizer, self._flat.values, self._flat.gradients, list(states), list(data), order, learning_rates,
            first_step, seed, results,
        )  # fmt: skip
        return done, results

"""Recording: variables, symbols and the trace they are recorded in.

Given arrays, a function of :mod:`tenfold.functional` computes. Given a :class:`Symbol`, it records: a node is added to
the symbol's :class:`Trace` and new symbols stand for its results. Shapes and dtypes are checked while recording, by the
same C++ operation that will run.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ._operators import Operators

Array = npt.NDArray[Any]

_RANDOM_KINDS = frozenset({"dropout"})


# Views that large are copied by an operation: NumPy's copy takes up to four times as long.
_LARGE = 1 << 17
_PERMUTED = (np.float32, np.float64)


def contiguous(array: npt.ArrayLike) -> Array:
    """Return an array, copied when its elements do not lie side by side in order."""
    if type(array) is np.ndarray:
        if array.flags.c_contiguous:
            return array
        if array.nbytes >= _LARGE and array.dtype in _PERMUTED and array.dtype.isnative:
            axes = np.argsort(array.strides, kind="stable")[::-1]
            source = array.transpose(axes)
            if source.flags.c_contiguous:  # the same elements with their axes in another order
                copy: Array = apply("permute", [source], {"axes": np.argsort(axes).tolist()})[0]
                return copy
    return np.ascontiguousarray(array).reshape(np.shape(array))  # keeps 0-d arrays 0-d


class _Rebinding:
    """Tells programs whether any variable got another array since they looked: ``number`` is new each time."""

    number = 0


rebinding = _Rebinding()
_rebinding_numbers = itertools.count(1)


class Variable(Operators):
    """An array that belongs to a model and changes: the common base of Parameter and Buffer.

    ``data`` may be rebound to a view of a larger array (a trainer keeps all parameters in one flat vector), so it is
    read where it is used and never kept.
    """

    __array_ufunc__ = None  # arrays defer to the operators below

    def __init__(self, data: npt.ArrayLike) -> None:
        self.data: Array = contiguous(data)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        rebinding.number = next(_rebinding_numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.data, dtype=dtype) if copy else np.asarray(self.data, dtype=dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"


class Parameter(Variable):
    """An array that training changes by its gradient."""


class Buffer(Variable):
    """An array that belongs to a model's state but has no gradient, such as a running mean."""


class Symbol(Operators):
    """A value that is being recorded: it has a shape and a dtype, and no numbers yet."""

    __array_ufunc__ = None
    __slots__ = ("id", "trace")

    def __init__(self, trace: Trace, value_id: int) -> None:
        self.trace = trace
        self.id = value_id

    @property
    def shape(self) -> tuple[int, ...]:
        return self.trace.graph.shape(self.id)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.trace.graph.dtype(self.id)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __repr__(self) -> str:
        return f"Symbol(shape={self.shape}, dtype={self.dtype})"

    def _no_value(self, what: str) -> TypeError:
        return TypeError(
            f"Symbol: {what} needs numbers, but this value is being recorded and has none yet; "
            "use tenfold.functional, or wrap NumPy code in a tenfold.Function"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise self._no_value("conversion to an array")

    def __bool__(self) -> bool:
        raise self._no_value("a condition")

    def __float__(self) -> float:
        raise self._no_value("conversion to a number")

    def __int__(self) -> int:
        raise self._no_value("conversion to a number")

    def __lt__(self, other: Any) -> bool:
        raise self._no_value("a comparison")

    __le__ = __gt__ = __ge__ = __lt__

    def __iter__(self) -> Iterator[Any]:
        raise self._no_value("iteration")


class Trace:
    """A graph being recorded, and what its leaves stand for."""

    def __init__(self) -> None:
        self.graph = _core.Graph()
        self.inputs: list[Symbol] = []
        self.variables: dict[int, tuple[Variable, Symbol]] = {}  # by id(variable); the variable is kept alive
        self.constants: list[tuple[Array, Symbol]] = []
        self.updates: list[tuple[Variable, Symbol]] = []
        self.random = False  # an operation draws random numbers
        self._scope: list[str] = []

    def input(self, shape: Sequence[int], dtype: npt.DTypeLike) -> Symbol:
        """Add an input of the graph."""
        symbol = self._leaf(shape, dtype)
        self.inputs.append(symbol)
        return symbol

    def variable(self, variable: Variable) -> Symbol:
        """Return the symbol of a Parameter or Buffer, one per variable."""
        if id(variable) not in self.variables:
            self.variables[id(variable)] = (variable, self._leaf(variable.shape, variable.dtype))
        return self.variables[id(variable)][1]

    def constant(self, array: Array) -> Symbol:
        """Add an array whose numbers are part of the graph."""
        array = np.array(array)
        symbol = self._leaf(array.shape, array.dtype)
        self.constants.append((array, symbol))
        return symbol

    def update(self, variable: Variable, value: Symbol) -> None:
        """After a training step that ran this graph, the variable holds this value."""
        self.updates.append((variable, value))

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Nodes recorded inside carry this name, for people who read the graph."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    @contextlib.contextmanager
    def recording(self) -> Iterator[Trace]:
        """Inside, operations on Parameters alone are recorded here too."""
        previous = active()
        _local.trace = self
        try:
            yield self
        finally:
            _local.trace = previous

    def record(self, kind: str, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> list[Symbol]:
        ids = [self._symbol(value).id for value in inputs]
        self.random = self.random or kind in _RANDOM_KINDS
        outputs = self.graph.add(kind, dict(attributes), ids, ".".join(self._scope))
        return [Symbol(self, output) for output in outputs]

    def record_callback(
        self,
        name: str,
        forward: Callable[..., list[Any]],
        backward: Callable[..., list[Any]],
        inputs: Sequence[Any],
        output_types: Sequence[tuple[Sequence[int], npt.DTypeLike]],
    ) -> list[Symbol]:
        ids = [self._symbol(value).id for value in inputs]
        types = [(np.dtype(dtype), list(shape)) for shape, dtype in output_types]
        outputs = self.graph.add_callback(name, forward, backward, ids, types, ".".join(self._scope))
        return [Symbol(self, output) for output in outputs]

    def _symbol(self, value: Any) -> Symbol:
        if isinstance(value, Symbol):
            if value.trace is not self:
                raise ValueError(
                    "Symbol: belongs to another recording; a symbol cannot be kept after its function returns"
                )
            return value
        if isinstance(value, Variable):
            return self.variable(value)
        return self.constant(value)

    def _leaf(self, shape: Sequence[int], dtype: npt.DTypeLike) -> Symbol:
        return Symbol(self, self.graph.add_leaf(np.dtype(dtype), list(shape)))


class _Local(threading.local):
    trace: Trace | None = None


_local = _Local()


def active() -> Trace | None:
    """Return the trace that is being recorded on this thread, or None."""
    return _local.trace


class Attributes(dict[str, Any]):
    """Attributes of like operations of one kind, a key of their values, and the last operation made with them."""

    __slots__ = ("key", "operation")

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.key = _key_of(values)
        self.operation: _core.Op | None = None


def _key_of(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    key: list[Any] = []
    for name, value in attributes.items():
        # Where 0.0 equals -0.0, their representations differ.
        key += (name, tuple(value) if type(value) is list else value or repr(value))
    return tuple(key)


@functools.cache
def _no_attributes(kind: str) -> Attributes:
    return Attributes({})


def apply(kind: str, inputs: list[Any], attributes: Mapping[str, Any], *, seed: int = 0) -> tuple[Any, ...]:
    """Run an operation on arrays, or record it when an input is a symbol; return its outputs.

    Parameters
    ----------
    kind : str
        The operation's name in the C++ registry.
    inputs : list of ndarray, Variable or Symbol
        float32, float64 or int64; the caller has checked that they are arrays (see functional/_arguments.py).
    attributes : mapping
        bool, int, float, str or sequences of int.
    seed : int
        Seeds a random operation that runs at once; a recorded one is seeded by its program.
    """
    if not attributes:
        attributes = _no_attributes(kind)
    known = attributes.operation if type(attributes) is Attributes else None
    if known is not None:
        results = known.run_if_fits(inputs, seed)
        if results is not None:
            return tuple(results)
    trace = None
    for value in inputs:
        if isinstance(value, Symbol):
            trace = value.trace
            break
    if trace is None and active() is not None and any(isinstance(value, Variable) for value in inputs):
        trace = active()
    if trace is not None:
        return tuple(trace.record(kind, inputs, attributes))
    arrays = [contiguous(v.data if isinstance(v, Variable) else v) for v in inputs]
    operation = _operation(kind, arrays, attributes)
    if type(attributes) is Attributes:
        attributes.operation = operation
    return tuple(operation(arrays, seed))


# Operations of eager calls. They have no state, and making one chooses a form and fills tables, which takes as long as
# a small layer itself.
_KEPT_OPERATIONS = 256
_operations: dict[tuple[Any, ...], _core.Op] = {}


def _operation(kind: str, arrays: list[Array], attributes: Mapping[str, Any]) -> _core.Op:
    """Return the operation for such arrays, made now or in an earlier call."""
    known = attributes.key if type(attributes) is Attributes else _key_of(attributes)
    key = (kind, _core.isa(), known, *[(array.dtype.char, array.shape) for array in arrays])
    try:
        return _operations[key]
    except KeyError:
        made = _core.Op(kind, dict(attributes), arrays)
    except TypeError:  # an attribute in a form without a hash
        return _core.Op(kind, dict(attributes), arrays)
    if len(_operations) >= _KEPT_OPERATIONS:
        _operations.clear()
    _operations[key] = made
    return made

"""Derivatives of functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._random import next_seed
from ._program import InputType, _Bound, _trace, as_symbol
from ._trace import Array, Symbol, Variable, contiguous


def _array(value: Any, function: str, argument: str) -> Array:
    if isinstance(value, Variable):
        value = value.data
    if isinstance(value, (float, np.floating)):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64, np.int64):
        received = f"dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(
            f"{function}: {argument} must be a float32, float64 or int64 array; received {received}"
        )
    return contiguous(value)


class FunctionProgram:
    """A function of arrays compiled with the gradients of its inputs.

    Parameters
    ----------
    f : callable
        Written with :mod:`tenfold.functional`.
    arrays : sequence of ndarray
        Only their shapes and dtypes matter.
    wrt : sequence of int, optional
        Which inputs get gradients; by default all floating ones.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        arrays: Sequence[Array],
        wrt: Sequence[int] | None = None,
        what: str = "compile",
    ) -> None:
        if wrt is None:
            wrt = [i for i, a in enumerate(arrays) if a.dtype != np.int64]
        types: list[InputType] = [(a.shape, a.dtype) for a in arrays]
        trace, result = _trace(f, types)
        self.single = not isinstance(result, tuple)
        self.outputs: list[Symbol] = [
            as_symbol(trace, r, f"{what}: the function") for r in ((result,) if self.single else result)
        ]
        self.bound = _Bound(trace, self.outputs, gradients=[trace.inputs[i].id for i in wrt], repeatable=True)
        self._trace = trace

    def forward(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs for C-contiguous arrays, which must stay unchanged until backward."""
        seed = next_seed() if self._trace.random else 0
        return list(self.bound.core.forward(arrays, seed, 0, bool(self._trace.updates)))

    def backward(self, d_outputs: Sequence[Array]) -> list[Array]:
        """Return the gradients of the inputs for those of the outputs of the last forward."""
        return list(self.bound.core.backward(d_outputs))


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., tuple[Array, ...]]]:
    """Evaluate a function and return its value and the pull-back of its derivative.

    The pull-back maps a gradient with respect to the output to gradients with respect to the inputs: the transpose of
    the Jacobian times a vector (reverse mode; the name is JAX's).

    Parameters
    ----------
    f : callable
        Written with :mod:`tenfold.functional`; maps arrays to an array or a tuple of arrays.
    *primals : ndarray
        Where to evaluate; float32 or float64, or int64 for labels and indices (these get no gradient).

    Returns
    -------
    (value, pull)
        ``pull(dy)`` returns a tuple, one gradient per primal, ``None`` for integer primals. ``dy`` has the shape of the
        value (a tuple when the value is one) and may be given as often as wanted.

    Raises
    ------
    TypeError
        If a primal is not such an array.
    ValueError
        From ``pull``, if ``dy`` has not the shape of the value.

    Examples
    --------
    >>> import numpy as np, tenfold
    >>> from tenfold import functional as F
    >>> y, pull = tenfold.vjp(F.relu, np.array([-1.0, 2.0]))
    >>> pull(np.array([10.0, 10.0]))
    (array([ 0., 10.]),)
    """
    arrays = [_array(p, "vjp", f"primal {i}").copy() for i, p in enumerate(primals)]
    wrt = [i for i, a in enumerate(arrays) if a.dtype != np.int64]
    program = FunctionProgram(f, arrays, wrt, "vjp")
    values = program.forward(arrays)

    def pull(dy: Any) -> tuple[Array, ...]:
        dys = (dy,) if program.single else dy
        if not isinstance(dys, (tuple, list)) or len(dys) != len(values):
            raise ValueError(f"vjp: the gradient must be a tuple of {len(values)} arrays, as the value is")
        checked = []
        for d, value in zip(dys, values, strict=True):
            array = np.asarray(d.data if isinstance(d, Variable) else d)
            if array.shape != value.shape:
                raise ValueError(
                    f"vjp: the gradient must have the shape of the value, {value.shape}; received {array.shape}"
                )
            checked.append(contiguous(array.astype(value.dtype, copy=False)))
        found = dict(zip(wrt, program.backward(checked), strict=True))
        return tuple(found.get(i) for i in range(len(arrays)))  # type: ignore[misc]

    return (values[0] if program.single else tuple(values)), pull


def value_and_grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., tuple[Any, Any]]:
    """Return a function that evaluates a scalar function and its gradient.

    Parameters
    ----------
    f : callable
        Written with :mod:`tenfold.functional`; returns one number (an array of shape ``()``).
    argnums : int or sequence of int
        With respect to which positional arguments; all of them must be floating arrays.

    Returns
    -------
    callable
        Takes ``f``'s arguments and returns ``(value, gradient)``, the gradient an array for an int ``argnums`` and a
        tuple for a sequence.

    Raises
    ------
    TypeError
        When called with arguments that are not arrays, or not floating where a gradient is wanted.
    ValueError
        When called, if ``f`` does not return one number.

    Examples
    --------
    >>> import numpy as np, tenfold
    >>> from tenfold import functional as F
    >>> value, gradient = tenfold.value_and_grad(lambda x: F.mse_loss(x, np.zeros(2)))(np.array([1.0, 3.0]))
    >>> float(value), gradient
    (5.0, array([1., 3.]))
    """
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)

    @functools.wraps(f)
    def evaluate(*args: Any) -> tuple[Any, Any]:
        arrays = [_array(a, "value_and_grad", f"argument {i}") for i, a in enumerate(args)]
        positions = []
        for n in numbers:
            if not -len(arrays) <= n < len(arrays):
                raise ValueError(
                    f"value_and_grad: argnums must be below {len(arrays)}, the number of arguments; received {n}"
                )
            positions.append(n % len(arrays))
            if arrays[n].dtype == np.int64:
                raise TypeError(
                    f"value_and_grad: argument {n} must be a float32 or float64 array; received int64"
                )
        program = FunctionProgram(f, arrays, positions, "value_and_grad")
        if not program.single or program.outputs[0].size != 1:
            shapes = [s.shape for s in program.outputs]
            raise ValueError(
                f"value_and_grad: the function must return one number; received shape {shapes[0]}"
            )
        value = program.forward(arrays)[0]
        gradients = program.backward([np.ones_like(value)])
        return value, gradients[0] if isinstance(argnums, int) else tuple(gradients)

    return evaluate


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return a function that evaluates the gradient of a scalar function.

    Parameters
    ----------
    f : callable
    argnums : int or sequence of int
        As for :func:`value_and_grad`, whose errors these are too.

    Returns
    -------
    callable
        Takes ``f``'s arguments and returns the gradient: an array for an int `argnums`, a tuple for a sequence.

    Raises
    ------
    TypeError, ValueError
        When called, as from :func:`value_and_grad`.

    Examples
    --------
    >>> import numpy as np, tenfold
    >>> from tenfold import functional as F
    >>> tenfold.grad(lambda x: F.sum(x * x))(np.array([1.0, 3.0]))
    array([2., 6.])
    """
    evaluate = value_and_grad(f, argnums)

    @functools.wraps(f)
    def gradient(*args: Any) -> Any:
        return evaluate(*args)[1]

    return gradient

"""Shapes: reshape, permute, concatenate, slice, pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Symbol, Variable, apply
from ._arguments import Tensor, integer, number

_DTYPES = (np.float32, np.float64, np.int64)
_MODES = ("constant", "reflect", "symmetric", "replicate", "circular")


def _tensor(value: Any, function: str, argument: str) -> Tensor:
    """Return a tensor of any dtype that the core knows; moving elements needs no arithmetic."""
    if isinstance(value, (Symbol, Variable)):
        return value
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"{function}: {argument} must be a float32, float64 or int64 array; "
            f"received {type(value).__name__}"
        )
    if value.dtype not in _DTYPES:
        raise TypeError(
            f"{function}: {argument} must be a float32, float64 or int64 array; received dtype {value.dtype}"
        )
    return value


def _ints(values: Any, function: str, argument: str) -> list[int]:
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"{function}: {argument} must be a sequence of ints; received {values!r}")
    return [integer(v, function, argument) for v in values]


def _axis(value: Any, rank: int, function: str, argument: str) -> int:
    """Return an axis from 0 to rank - 1; negative ones count from the end."""
    axis = integer(value, function, argument)
    if not -rank <= axis < rank:
        raise ValueError(
            f"{function}: {argument} must be from {-rank} to {rank - 1} for {rank} axes; received {axis}"
        )
    return axis % rank


def _reshaped(input: Tensor, shape: Sequence[int]) -> Any:
    return apply("reshape", [input], {"shape": list(shape)})[0]


def reshape(input: Tensor, shape: int | Sequence[int]) -> Any:
    """Return the same elements, in the same order, in another shape.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    shape : int or sequence of int
        The new shape; one entry may be -1 and follows from the others.

    Returns
    -------
    ndarray of shape `shape`

    Raises
    ------
    ValueError
        If the shape has another number of elements than the input.
    TypeError
        If the input is not such an array or the shape is not made of ints.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.reshape(np.arange(6.0), (2, -1))
    array([[0., 1., 2.],
           [3., 4., 5.]])
    """
    input = _tensor(input, "reshape", "input")
    given = (
        [integer(shape, "reshape", "shape")]
        if isinstance(shape, (int, np.integer))
        else _ints(shape, "reshape", "shape")
    )
    new = list(given)
    if new.count(-1) > 1:
        raise ValueError(f"reshape: shape must have at most one -1; received {tuple(given)}")
    if any(n < -1 for n in new):
        raise ValueError(f"reshape: shape must have no negative extent but one -1; received {tuple(given)}")
    if -1 in new:
        rest = 1
        for n in new:
            rest *= n if n >= 0 else 1
        if rest == 0 or input.size % rest:
            raise ValueError(
                f"reshape: shape must have as many elements as the input, {input.size}; "
                f"received {tuple(given)} for input {input.shape}"
            )
        new[new.index(-1)] = input.size // rest
    return _reshaped(input, new)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Return the input with the axes from `start_dim` to `end_dim` made one.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    start_dim, end_dim : int
        First and last axis to join; negative ones count from the end.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If an axis does not exist or `start_dim` comes after `end_dim`.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.flatten(np.zeros((2, 3, 5, 7)), 1).shape
    (2, 105)
    """
    input = _tensor(input, "flatten", "input")
    shape = input.shape
    rank = max(len(shape), 1)
    start = _axis(start_dim, rank, "flatten", "start_dim")
    end = _axis(end_dim, rank, "flatten", "end_dim")
    if start > end:
        raise ValueError(
            f"flatten: start_dim must not come after end_dim; received {start_dim} and {end_dim}"
        )
    joined = 1
    for n in shape[start : end + 1]:
        joined *= n
    return _reshaped(input, [*shape[:start], joined, *shape[end + 1 :]])


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Any:
    """Return the input with axis `dim` split into several axes, the inverse of :func:`flatten`.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    dim : int
        The axis to split.
    sizes : sequence of int
        Its new extents; one may be -1.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If the sizes do not make up the axis.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.unflatten(np.zeros((2, 105)), 1, (3, 5, 7)).shape
    (2, 3, 5, 7)
    """
    input = _tensor(input, "unflatten", "input")
    shape = input.shape
    axis = _axis(dim, len(shape), "unflatten", "dim")
    new = _ints(sizes, "unflatten", "sizes")
    known = 1
    for n in new:
        known *= n if n != -1 else 1
    if new.count(-1) == 1 and known > 0 and shape[axis] % known == 0:
        new[new.index(-1)] = shape[axis] // known
        known = shape[axis]
    if known != shape[axis] or any(n < 0 for n in new):
        raise ValueError(
            f"unflatten: sizes must make up axis {axis} of size {shape[axis]}; received {tuple(sizes)}"
        )
    return _reshaped(input, [*shape[:axis], *new, *shape[axis + 1 :]])


def permute(input: Tensor, dims: Sequence[int]) -> Any:
    """Return the input with its axes in another order.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    dims : sequence of int
        Axis ``a`` of the result is axis ``dims[a]`` of the input.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If `dims` does not name every axis once.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.permute(np.zeros((2, 3, 5)), (2, 0, 1)).shape
    (5, 2, 3)
    """
    input = _tensor(input, "permute", "input")
    rank = len(input.shape)
    axes = [_axis(d, rank, "permute", "dims") for d in _ints(dims, "permute", "dims")]
    return apply("permute", [input], {"axes": axes})[0]


def transpose(input: Tensor, dim0: int, dim1: int) -> Any:
    """Return the input with two axes exchanged.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    dim0, dim1 : int
        The axes; negative ones count from the end.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If an axis does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.transpose(np.array([[1.0, 2.0], [3.0, 4.0]]), 0, 1)
    array([[1., 3.],
           [2., 4.]])
    """
    input = _tensor(input, "transpose", "input")
    rank = len(input.shape)
    a, b = _axis(dim0, rank, "transpose", "dim0"), _axis(dim1, rank, "transpose", "dim1")
    axes = list(range(rank))
    axes[a], axes[b] = b, a
    return apply("permute", [input], {"axes": axes})[0]


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Any:
    """Return the input without axes of extent 1.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    dim : int, sequence of int or None
        The axes to drop where their extent is 1; None means all.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If an axis does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.squeeze(np.zeros((2, 1, 3, 1))).shape
    (2, 3)
    >>> F.squeeze(np.zeros((2, 1, 3, 1)), 1).shape
    (2, 3, 1)
    """
    input = _tensor(input, "squeeze", "input")
    shape = input.shape
    if dim is None:
        axes = list(range(len(shape)))
    else:
        given = [dim] if isinstance(dim, (int, np.integer)) else _ints(dim, "squeeze", "dim")
        axes = [_axis(d, len(shape), "squeeze", "dim") for d in given]
    return _reshaped(input, [n for a, n in enumerate(shape) if not (a in axes and n == 1)])


def unsqueeze(input: Tensor, dim: int) -> Any:
    """Return the input with a new axis of extent 1.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    dim : int
        Where the new axis stands in the result; negative counts from the result's end.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If there is no such place.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.unsqueeze(np.zeros((2, 3)), 1).shape
    (2, 1, 3)
    """
    input = _tensor(input, "unsqueeze", "input")
    shape = list(input.shape)
    shape.insert(_axis(dim, len(shape) + 1, "unsqueeze", "dim"), 1)
    return _reshaped(input, shape)


def broadcast_to(input: Tensor, shape: Sequence[int]) -> Any:
    """Return the input repeated to `shape` by NumPy's broadcasting rule.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    shape : sequence of int
        Every axis of the input, aligned at the end, has this extent or 1.

    Returns
    -------
    ndarray of shape `shape`

    Raises
    ------
    ValueError
        If the input does not broadcast to the shape.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.broadcast_to(np.array([[1.0], [2.0]]), (2, 3))
    array([[1., 1., 1.],
           [2., 2., 2.]])
    """
    input = _tensor(input, "broadcast_to", "input")
    return apply("broadcast_to", [input], {"shape": _ints(shape, "broadcast_to", "shape")})[0]


def expand(input: Tensor, *sizes: Any) -> Any:
    """Return the input repeated along axes of extent 1, as torch's expand: -1 keeps an axis.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    *sizes : int, or one sequence of int
        The extents of the result.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If the input does not broadcast to the sizes.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.expand(np.zeros((2, 1)), -1, 3).shape
    (2, 3)
    """
    input = _tensor(input, "expand", "input")
    given = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer)) else sizes
    target = _ints(given, "expand", "sizes")
    extra = len(target) - len(input.shape)
    kept = [input.shape[a - extra] if n == -1 and a - extra >= 0 else n for a, n in enumerate(target)]
    return apply("broadcast_to", [input], {"shape": kept})[0]


def concat(tensors: Sequence[Tensor], axis: int = 0) -> Any:
    """Return the tensors one after the other along an axis.

    Parameters
    ----------
    tensors : sequence of ndarray, float32, float64 or int64
        At least one; of one dtype and one shape except along `axis`.
    axis : int
        Negative counts from the end.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If there is no tensor, no such axis, or the shapes disagree.
    TypeError
        If the dtypes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.concat([np.zeros((2, 3)), np.ones((2, 1))], axis=1)
    array([[0., 0., 0., 1.],
           [0., 0., 0., 1.]])
    """
    parts = _tensors(tensors, "concat")
    rank = len(parts[0].shape)
    if rank == 0:
        raise ValueError("concat: tensors must have at least one axis; use stack for scalars")
    return apply("concat", parts, {"axis": _axis(axis, rank, "concat", "axis")})[0]


cat = concat


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Any:
    """Return tensors of one shape side by side along a new axis.

    Parameters
    ----------
    tensors : sequence of ndarray, float32, float64 or int64
        At least one; all of one dtype and shape.
    axis : int
        Where the new axis stands in the result.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If there is no tensor, no such place, or the shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.stack([np.zeros(3), np.ones(3)], axis=1).shape
    (3, 2)
    """
    parts = _tensors(tensors, "stack")
    shape = parts[0].shape
    for part in parts:
        if part.shape != shape:
            raise ValueError(f"stack: tensors must have one shape; received {shape} and {part.shape}")
    place = _axis(axis, len(shape) + 1, "stack", "axis")
    new = [*shape[:place], 1, *shape[place:]]
    return apply("concat", [_reshaped(part, new) for part in parts], {"axis": place})[0]


def _tensors(tensors: Any, function: str) -> list[Any]:
    if isinstance(tensors, (np.ndarray, Symbol, Variable)) or not isinstance(tensors, Sequence):
        raise TypeError(
            f"{function}: tensors must be a sequence of arrays; received {type(tensors).__name__}"
        )
    parts = [_tensor(part, function, f"tensors[{i}]") for i, part in enumerate(tensors)]
    if not parts:
        raise ValueError(f"{function}: tensors must not be empty")
    return parts


def split(input: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Cut a tensor along an axis.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    split_size_or_sections : int or sequence of int
        The extent of every piece (the last may be smaller), or the extent of each piece.
    dim : int
        The axis.

    Returns
    -------
    tuple of ndarray

    Raises
    ------
    ValueError
        If the size is not positive, or the sections do not make up the axis.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> [part.shape for part in F.split(np.zeros((7, 2)), 3)]
    [(3, 2), (3, 2), (1, 2)]
    """
    input = _tensor(input, "split", "input")
    axis = _axis(dim, len(input.shape), "split", "dim")
    size = input.shape[axis]
    if isinstance(split_size_or_sections, (int, np.integer)):
        step = integer(split_size_or_sections, "split", "split_size_or_sections")
        if step < 1:
            raise ValueError(f"split: split_size_or_sections must be positive; received {step}")
        sections = [min(step, size - start) for start in range(0, size, step)] or [0]
    else:
        sections = _ints(split_size_or_sections, "split", "split_size_or_sections")
        if sum(sections) != size or any(n < 0 for n in sections):
            raise ValueError(
                f"split: split_size_or_sections must make up axis {axis} of size {size}; "
                f"received {tuple(sections)}"
            )
    pieces, start = [], 0
    for n in sections:
        pieces.append(_sliced(input, {axis: range(start, start + n)}))
        start += n
    return tuple(pieces)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """Cut a tensor along an axis into at most `chunks` pieces of equal extent (the last may be smaller).

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    chunks : int
        Positive.
    dim : int
        The axis.

    Returns
    -------
    tuple of ndarray

    Raises
    ------
    ValueError
        If `chunks` is not positive or the axis does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> [part.shape for part in F.chunk(np.zeros((2, 7)), 3, 1)]
    [(2, 3), (2, 3), (2, 1)]
    """
    input = _tensor(input, "chunk", "input")
    count = integer(chunks, "chunk", "chunks")
    if count < 1:
        raise ValueError(f"chunk: chunks must be positive; received {count}")
    axis = _axis(dim, len(input.shape), "chunk", "dim")
    return split(input, max(1, -(-input.shape[axis] // count)), axis)


def _sliced(input: Tensor, ranges: dict[int, range]) -> Any:
    """Return the positions of `ranges` along their axes, all along the others."""
    full = [ranges.get(axis, range(n)) for axis, n in enumerate(input.shape)]
    if all(r == range(n) for r, n in zip(full, input.shape)):
        return input
    attributes = {
        "start": [r.start for r in full],
        "stop": [r.stop for r in full],
        "step": [r.step for r in full],
    }
    return apply("slice", [input], attributes)[0]


def flip(input: Tensor, dims: int | Sequence[int]) -> Any:
    """Return the input with the order of its elements reversed along axes.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    dims : int or sequence of int
        The axes.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    ValueError
        If an axis does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.flip(np.array([1.0, 2.0, 3.0]), 0)
    array([3., 2., 1.])
    """
    input = _tensor(input, "flip", "input")
    given = [dims] if isinstance(dims, (int, np.integer)) else _ints(dims, "flip", "dims")
    axes = [_axis(d, len(input.shape), "flip", "dims") for d in given]
    return _sliced(input, {axis: range(input.shape[axis] - 1, -1, -1) for axis in axes})


def tile(input: Tensor, dims: int | Sequence[int]) -> Any:
    """Return the input repeated whole along its axes, as numpy.tile.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    dims : int or sequence of int
        Repetitions per axis, aligned at the end.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If a repetition is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.tile(np.array([1.0, 2.0]), (2, 2))
    array([[1., 2., 1., 2.],
           [1., 2., 1., 2.]])
    """
    input = _tensor(input, "tile", "input")
    given = [dims] if isinstance(dims, (int, np.integer)) else _ints(dims, "tile", "dims")
    times = [integer(n, "tile", "dims") for n in given]
    if any(n < 0 for n in times):
        raise ValueError(f"tile: dims must be non-negative; received {tuple(times)}")
    rank = max(len(times), len(input.shape))
    times = [1] * (rank - len(times)) + times
    shape = [1] * (rank - len(input.shape)) + list(input.shape)
    # x[a, b] -> x[1, a, 1, b] -> x[n, a, m, b] -> x[n * a, m * b]
    spread = _reshaped(input, [e for n in shape for e in (1, n)])
    repeated = apply("broadcast_to", [spread], {"shape": [e for t, n in zip(times, shape) for e in (t, n)]})[
        0
    ]
    return _reshaped(repeated, [t * n for t, n in zip(times, shape)])


def getitem(input: Tensor, key: Any) -> Any:
    """Return ``input[key]`` for NumPy's basic indices: ints, slices (of any step), ``...`` and None.

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    key : int, slice, Ellipsis, None or a tuple of them

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError
        If the key holds anything else, such as an array.
    IndexError
        If there are too many indices or one is out of bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.getitem(np.arange(6.0), slice(None, None, -2))
    array([5., 3., 1.])
    """
    input = _tensor(input, "getitem", "input")
    shape = input.shape
    keys = list(key) if isinstance(key, tuple) else [key]
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if sum(k is Ellipsis for k in keys) > 1:
        raise IndexError("getitem: key must have at most one '...'")
    if used > len(shape):
        raise IndexError(
            f"getitem: key must have at most {len(shape)} indices for shape {shape}; received {used}"
        )
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    result: list[int] = []
    ranges: dict[int, range] = {}
    axis = 0
    for k in keys:
        if k is None:
            result.append(1)
        elif k is Ellipsis:
            rest = len(shape) - used
            result += shape[axis : axis + rest]
            axis += rest
        elif isinstance(k, slice):
            ranges[axis] = range(*k.indices(shape[axis]))
            result.append(len(ranges[axis]))
            axis += 1
        else:
            try:
                i = integer(k, "getitem", "key")
            except TypeError:
                raise TypeError(
                    f"getitem: key must be made of ints, slices, '...' and None; received {type(k).__name__}"
                ) from None
            if not -shape[axis] <= i < shape[axis]:
                raise IndexError(f"getitem: index {i} is out of bounds for axis {axis} of size {shape[axis]}")
            ranges[axis] = range(i % shape[axis], i % shape[axis] + 1)
            axis += 1
    sliced = _sliced(input, ranges)
    return sliced if list(sliced.shape) == result else _reshaped(sliced, result)


def pad(
    input: Tensor,
    pad: int | Sequence[Any],
    mode: str = "constant",
    value: float | None = None,
    *,
    border: str | None = None,
    border_value: float | None = None,
) -> Any:
    r"""Return the input with a border around it.

    Along a padded axis of size :math:`n` the result has
    :math:`n + \mathrm{before} + \mathrm{after}` positions.

    ==============  ===============================  =======================
    border          outside                          drawing
    ==============  ===============================  =======================
    ``constant``    `value`, 0 by default            ``0 0 | a b c | 0 0``
    ``reflect``     mirror, edge not repeated        ``c b | a b c | b a``
    ``symmetric``   mirror, edge repeated            ``b a | a b c | c b``
    ``replicate``   the edge goes on                 ``a a | a b c | c c``
    ``circular``    modulo                           ``b c | a b c | a b``
    ==============  ===============================  =======================

    Parameters
    ----------
    input : ndarray of any shape, float32, float64 or int64
    pad : int or sequence
        An int pads both sides of every axis behind the first two (the spatial axes). A flat sequence is
        torch's: before and after for the **last** axis, then for the last but one, and so on. A sequence of
        (before, after) pairs is NumPy's: one pair per trailing axis, in the order of the axes. With a
        constant border, negative numbers crop.
    mode : str
        The border, by the name of torch's argument.
    value : float, optional
        What lies outside a ``constant`` border.
    border : str, optional
        The same as `mode`, as convolutions call it; it wins over `mode`.
    border_value : float, optional
        The same as `value`.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If the border is unknown, there are more pads than axes, a pad is as large as the input under
        ``reflect``, or a pad is negative under another border than ``constant``.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.pad(np.array([[1.0, 2.0, 3.0]]), (2, 1), border="reflect")
    array([[3., 2., 1., 2., 3., 2.]])
    >>> F.pad(np.ones((1, 1)), [(1, 0), (0, 1)])
    array([[0., 0.],
           [1., 0.]])
    """
    input = _tensor(input, "pad", "input")
    shape = input.shape
    kind = mode if border is None else border
    if kind not in _MODES:
        name = "mode" if border is None else "border"
        raise ValueError(f"pad: {name} must be one of {', '.join(map(repr, _MODES))}; received {kind!r}")
    constant = value if border_value is None else border_value
    if constant is None:
        constant = 0.0
    pairs = _pad_pairs(pad, len(shape))
    if len(pairs) > len(shape):
        raise ValueError(
            f"pad: pad must have at most a pair per axis of the input, {len(shape)}; received {pad!r}"
        )
    pairs = [(0, 0)] * (len(shape) - len(pairs)) + pairs
    if any(side < 0 for pair in pairs for side in pair):
        if kind != "constant":
            raise ValueError(f"pad: pad must be non-negative when border is {kind!r}; received {pad!r}")
        if any(n + min(before, 0) + min(after, 0) < 0 for n, (before, after) in zip(shape, pairs)):
            raise ValueError(f"pad: pad must not crop more than there is; received {pad!r} for input {shape}")
        crops = {
            axis: range(max(-pair[0], 0), shape[axis] + min(pair[1], 0)) for axis, pair in enumerate(pairs)
        }
        input = _sliced(input, crops)
        pairs = [(max(before, 0), max(after, 0)) for before, after in pairs]
    if all(pair == (0, 0) for pair in pairs):
        return _reshaped(input, input.shape)
    attributes = {
        "pads": [side for pair in pairs for side in pair],
        "border": kind,
        "border_value": number(constant, "pad", "value" if border_value is None else "border_value"),
    }
    return apply("pad", [input], attributes)[0]


def _pad_pairs(pad: Any, rank: int) -> list[tuple[int, int]]:
    """Return (before, after) of the trailing axes, in the order of the axes."""
    if isinstance(pad, (int, np.integer)):
        side = integer(pad, "pad", "pad")
        if rank < 3:
            raise ValueError(
                f"pad: pad may be an int only for inputs (N, C, ...) with spatial axes; "
                f"received {pad!r} for {rank} axes"
            )
        return [(side, side)] * (rank - 2)
    if (
        isinstance(pad, (Sequence, np.ndarray))
        and len(pad) > 0
        and all(isinstance(p, (Sequence, np.ndarray)) for p in pad)
    ):
        if any(len(p) != 2 for p in pad):
            raise ValueError(f"pad: pad must have (before, after) pairs; received {pad!r}")
        return [(integer(p[0], "pad", "pad"), integer(p[1], "pad", "pad")) for p in pad]
    flat = _ints(pad, "pad", "pad")
    if len(flat) % 2:
        raise ValueError(f"pad: pad must have an even number of entries, two per axis; received {pad!r}")
    return [(flat[i], flat[i + 1]) for i in range(len(flat) - 2, -1, -2)]

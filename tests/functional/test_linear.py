"""functional.linear and functional.matmul against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gradcheck import check_gradients
from tests.reference import linear as reference
from tests.tolerance import assert_close

import tenfold
from tenfold import _core
from tenfold import functional as F
from tenfold.graph import FunctionProgram

F4 = np.float32
DTYPES = [np.float32, np.float64]

LINEAR_SHAPES = {
    "lenet_fc3": ((64,), 84, 10),
    "one_row": ((), 7, 5),
    "two_leading_extents": ((2, 3), 11, 7),
    "tile_plus_one": ((13,), 33, 49),
    "one_output": ((5,), 9, 1),
    "one_input": ((5,), 1, 9),
    "several_chunks_of_the_sum": ((3,), 1100, 5),
    "bands": ((3,), 20, 500),
    "empty_batch": ((0,), 7, 5),
    "no_features": ((4,), 0, 5),
}

MATMUL_SHAPES = {
    "matrices": ((5, 7), (7, 3)),
    "row_by_matrix": ((7,), (7, 3)),
    "matrix_by_column": ((5, 7), (7,)),
    "inner_product": ((7,), (7,)),
    "batch_by_matrix": ((2, 3, 5, 7), (7, 11)),
    "matrix_by_batch": ((5, 7), (2, 7, 11)),
    "equal_batches": ((9, 5, 7), (9, 7, 3)),
    "broadcast_both_ways": ((2, 1, 5, 7), (3, 7, 4)),
    "batch_by_column": ((2, 5, 7), (7,)),
    "row_by_batch": ((7,), (2, 7, 5)),
    "empty_batch": ((0, 5, 7), (7, 3)),
    "broadcast_over_nothing": ((0, 5, 7), (1, 7, 3)),
    "nothing_to_sum": ((5, 0), (0, 3)),
    "several_chunks_of_the_sum": ((2, 3, 1100), (2, 1100, 5)),
}


def integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Small integers: every order of summation gives the same, exact, result."""
    return rng.integers(-3, 4, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize(("lead", "i", "o"), LINEAR_SHAPES.values(), ids=LINEAR_SHAPES)
def test_linear_is_exact_on_integers(isa, dtype, bias, lead, i, o):
    rng = np.random.default_rng(1)
    x, w, dy = (integers(rng, s, dtype) for s in ((*lead, i), (o, i), (*lead, o)))
    b = integers(rng, (o,), dtype) if bias else None
    arrays = (x, w, b) if bias else (x, w)
    y, pull = tenfold.vjp(F.linear, *arrays)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, reference.linear(x, w, b))
    for name, actual, expected in zip(("dx", "dw", "db"), pull(dy), reference.linear_gradients(x, w, dy)):
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, expected, err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_of_reals_is_close(dtype):
    rng = np.random.default_rng(2)
    x, w, b = (rng.normal(size=s).astype(dtype) for s in ((13, 700), (37, 700), (37,)))
    scale = float((np.abs(x) @ np.abs(w).T).max())
    assert_close(F.linear(x, w, b), reference.linear(x, w, b), terms=701, scale=scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("a", "b"), MATMUL_SHAPES.values(), ids=MATMUL_SHAPES)
def test_matmul_is_exact_on_integers(isa, dtype, a, b):
    rng = np.random.default_rng(3)
    x, y = integers(rng, a, dtype), integers(rng, b, dtype)
    z, pull = tenfold.vjp(F.matmul, x, y)
    expected = reference.matmul(x, y)
    assert z.shape == expected.shape
    assert z.dtype == dtype
    np.testing.assert_array_equal(z, expected)
    dz = integers(rng, expected.shape, dtype)
    for actual, gradient in zip(pull(dz), reference.matmul_gradients(x, y, dz)):
        np.testing.assert_array_equal(actual, gradient)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_matmul_broadcasts_as_numpy_does(data):
    extent = st.integers(1, 4)
    batch = data.draw(st.lists(extent, max_size=3))
    m, k, n = (data.draw(st.integers(1, 20)) for _ in range(3))

    def operand(rows, columns):
        keep = data.draw(st.integers(0, len(batch)))
        lead = [data.draw(st.sampled_from([1, e])) for e in batch[len(batch) - keep :]]
        return integers(np.random.default_rng(4), (*lead, rows, columns), np.float64)

    a, b = operand(m, k), operand(k, n)
    z, pull = tenfold.vjp(F.matmul, a, b)
    np.testing.assert_array_equal(z, np.matmul(a, b))
    dz = integers(np.random.default_rng(5), z.shape, np.float64)
    for actual, expected in zip(pull(dz), reference.matmul_gradients(a, b, dz)):
        np.testing.assert_array_equal(actual, expected)


TRANSPOSED_SHAPES = {
    "matrices": ((5, 7), (7, 3)),
    "large": ((64, 130), (130, 70)),
    "one_matrix_on_the_right": ((4, 5, 7), (7, 3)),
    "one_matrix_on_the_left": ((5, 7), (4, 7, 3)),
    "broadcast": ((2, 1, 5, 7), (3, 7, 3)),
    "vectors": ((1, 7), (7, 1)),
}


def exchange(x):
    """Return x with its last two axes exchanged, as an array or an operation of a graph."""
    axes = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    return x.transpose(axes) if isinstance(x, np.ndarray) else F.permute(x, axes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exchanged", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("a", "b"), TRANSPOSED_SHAPES.values(), ids=TRANSPOSED_SHAPES)
def test_matmul_of_transposed_matrices(dtype, exchanged, a, b):
    rng = np.random.default_rng(14)
    x, y = integers(rng, a, dtype), integers(rng, b, dtype)
    expected = reference.matmul(x, y)
    stored = [np.ascontiguousarray(exchange(v)) if e else v for v, e in zip((x, y), exchanged)]
    views = [exchange(v) if e else v for v, e in zip(stored, exchanged)]
    np.testing.assert_array_equal(F.matmul(*views), expected)

    def product(x, y):
        return F.matmul(exchange(x) if exchanged[0] else x, exchange(y) if exchanged[1] else y)

    z, pull = tenfold.vjp(product, *stored)
    np.testing.assert_array_equal(z, expected)
    dz = integers(rng, expected.shape, dtype)
    gradients = reference.matmul_gradients(x, y, dz)
    for actual, gradient, e in zip(pull(dz), gradients, exchanged):
        np.testing.assert_array_equal(actual, exchange(gradient) if e else gradient)


def test_a_program_reads_a_transposed_matrix_as_it_lies():
    x, w = (np.zeros(s, F4) for s in ((5, 7), (3, 7)))

    def kinds(function):
        return FunctionProgram(function, [x, w]).bound.core.kinds

    assert kinds(lambda x, w: x @ w.T) == ["matmul"]
    assert kinds(lambda x, w: (x @ w.T, w.T)) == ["matmul", "permute"]
    assert kinds(lambda x, w: (x @ (t := w.T), t)) == ["permute", "matmul"]
    assert kinds(lambda x, w: x @ F.permute(F.relu(w), (1, 0))) == ["relu", "matmul"]


@pytest.mark.parametrize(
    "shapes", [((2, 3, 5), (4, 5), (4,)), ((5,), (4, 5), (4,))], ids=["batch", "one_row"]
)
def test_linear_gradients_are_differences(shapes):
    rng = np.random.default_rng(6)
    check_gradients(F.linear, *(rng.normal(size=s) for s in shapes))


@pytest.mark.parametrize(
    "shapes", [((2, 1, 3, 4), (3, 4, 2)), ((4,), (4,))], ids=["broadcast", "inner_product"]
)
def test_matmul_gradients_are_differences(shapes):
    rng = np.random.default_rng(7)
    check_gradients(F.matmul, *(rng.normal(size=s) for s in shapes))


def test_the_same_bits_on_every_team(isa):
    rng = np.random.default_rng(8)
    x, w, b = (rng.normal(size=s).astype(np.float32) for s in ((70, 600), (300, 600), (300,)))
    dy = rng.normal(size=(70, 300)).astype(np.float32)
    before, results = _core.num_threads(), []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            y, pull = tenfold.vjp(F.linear, x, w, b)
            results.append((y, *pull(dy)))
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        for first, array in zip(results[0], other):
            np.testing.assert_array_equal(first, array)


def test_a_fused_relu_is_a_relu_behind(isa):
    rng = np.random.default_rng(9)
    x, w, b = integers(rng, (13, 7)), integers(rng, (35, 7)), integers(rng, (35,))
    plain = reference.linear(x, w, b)
    assert (plain == 0).any()  # the case that the kept sign is for
    for keep_sign in (False, True):
        attributes = {"activation": "relu", "at_zero": 0.5, "keep_sign": keep_sign}
        y = _core.Op("linear", attributes, [x, w, b])([x, w, b], 0)[0]
        np.testing.assert_array_equal(y, np.maximum(plain, 0))
        np.testing.assert_array_equal(np.signbit(y), (plain < 0) & keep_sign)


def test_nan_passes():
    x = np.array([[1.0, np.nan], [1.0, 2.0]])
    y = F.linear(x, np.ones((3, 2)))
    np.testing.assert_array_equal(np.isnan(y), [[True] * 3, [False] * 3])


def test_any_layout_and_read_only_arrays_work():
    rng = np.random.default_rng(10)
    x, w = integers(rng, (14, 10))[::2, ::-2], integers(rng, (5, 3)).T
    w.flags.writeable = False
    np.testing.assert_array_equal(F.linear(x, w), reference.linear(x, w))
    np.testing.assert_array_equal(F.matmul(x, w.T), x @ w.T)


@pytest.mark.parametrize(
    ("function", "shapes", "message"),
    [
        (F.linear, [(2, 3), (5, 4)], r"linear: input must have 4 features .* received \(2, 3\)"),
        (
            F.linear,
            [(2, 3), (5,)],
            r"linear: weight must have the shape \(out_features, in_features\).*\(5,\)",
        ),
        (F.linear, [(), (5, 1)], r"linear: input must have 1 features .* received \(\)"),
        (F.linear, [(2, 4), (5, 4), (4,)], r"linear: bias must have the shape \(5,\).*received \(4,\)"),
        (F.matmul, [(2, 3), (4, 5)], r"matmul: other must have 3 rows.*\(2, 3\); received \(4, 5\)"),
        (F.matmul, [(2, 3), (4,)], r"matmul: other must have 3 elements.*received \(4,\)"),
        (F.matmul, [(), (4,)], r"matmul: input must have at least one dimension"),
        (F.matmul, [(4,), ()], r"matmul: other must have at least one dimension"),
        (F.matmul, [(2, 3, 4), (3, 4, 5)], r"matmul: other must have leading dimensions that broadcast"),
    ],
)
def test_wrong_shapes_are_refused(function, shapes, message):
    with pytest.raises(ValueError, match=message):
        function(*(np.ones(s, F4) for s in shapes))


@pytest.mark.parametrize("function", [F.linear, F.matmul], ids=["linear", "matmul"])
def test_wrong_types_are_refused(function):
    x = np.ones((2, 2), F4)
    with pytest.raises(TypeError, match=f"{function.__name__}: input must be a float32 or float64 array"):
        function(np.ones((2, 2), np.int64), x)
    with pytest.raises(TypeError, match="must have the dtype of input, float32; received float64"):
        function(x, np.ones((2, 2)))
    with pytest.raises(TypeError, match="received list"):
        function(x, [[1.0, 2.0], [3.0, 4.0]])

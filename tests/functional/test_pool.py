"""Pooling against the window-by-window reference, on every ISA."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gradcheck import check_gradients
from tests.reference import pool as reference
from tests.tolerance import assert_close

import tenfold
from tenfold import _core
from tenfold import functional as F

DTYPES = [np.float32, np.float64]
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ADAPTIVE_AVG = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


def few_integers(shape, dtype, seed=0):
    """Return small integers: exact to add, and full of ties."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def check_max(x, kernel, stride, pads, dilation, ceil=False):
    f = MAX[x.ndim - 2]
    options = {"stride": stride, "padding": pads, "dilation": dilation, "ceil_mode": ceil}
    expected, positions = reference.max_pool(x, kernel, stride, pads, dilation, ceil)
    y, indices = f(x, kernel, **options, return_indices=True)
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == x.dtype
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, positions)
    np.testing.assert_array_equal(f(x, kernel, **options), expected)
    dy = np.arange(1, 1 + y.size, dtype=x.dtype).reshape(y.shape) % 97
    dx = reference.scatter(x, dy, positions)
    _, pull = tenfold.vjp(lambda v: f(v, kernel, **options), x)
    np.testing.assert_array_equal(pull(dy)[0], dx)
    _, pull = tenfold.vjp(lambda v: f(v, kernel, **options, return_indices=True)[0], x)
    np.testing.assert_array_equal(pull(dy)[0], dx)


def check_avg(x, kernel, stride, pads, **options):
    f = AVG[x.ndim - 2]
    terms = int(np.prod(kernel))
    wide = x.astype(np.float64)
    ceil = options.pop("ceil_mode", False)

    def call(v):
        return f(v, kernel, stride, pads, ceil_mode=ceil, **options)

    y, pull = tenfold.vjp(call, x)
    assert_close(y, reference.avg_pool(wide, kernel, stride, pads, ceil, **options), terms, scale=4)
    np.testing.assert_array_equal(call(x), y)
    dy = few_integers(y.shape, x.dtype, 1)
    expected = reference.avg_pool_backward(wide, dy.astype(np.float64), kernel, stride, pads, ceil, **options)
    (dx,) = pull(dy)
    assert dx.dtype == x.dtype
    assert_close(dx, expected, terms, scale=4)


# shape, kernel, stride, pads, dilation
GEOMETRIES = {
    "lenet_2x2_stride_2": ((2, 3, 6, 28), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "2x2_odd_image": ((2, 3, 7, 11), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "2x2_more_than_two_vectors": ((1, 2, 4, 71), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "2x2_one_vector": ((1, 2, 4, 32), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "2x2_one_vector_less_one": ((1, 2, 4, 31), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "2x2_one_vector_more_one": ((1, 2, 4, 34), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "2x2_one_row": ((2, 3, 3, 37), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "2x2_odd_rows": ((2, 3, 11, 53), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "3x3_stride_2": ((2, 3, 9, 37), (3, 3), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "3x3_stride_2_padded": ((2, 3, 8, 40), (3, 3), (2, 2), [(1, 1), (1, 1)], (1, 1)),
    "3x3_stride_2_one_side": ((2, 3, 8, 33), (3, 3), (2, 2), [(0, 1), (1, 0)], (1, 1)),
    "3x3_stride_1": ((2, 3, 7, 21), (3, 3), (1, 1), [(1, 1), (1, 1)], (1, 1)),
    "stride_over_kernel": ((2, 3, 13, 17), (2, 2), (3, 4), [(0, 0), (0, 0)], (1, 1)),
    "2x3_stride_2x1": ((2, 3, 7, 11), (2, 3), (2, 1), [(0, 0), (0, 0)], (1, 1)),
    "4x5_stride_1x2": ((2, 3, 9, 41), (4, 5), (1, 2), [(0, 0), (2, 2)], (1, 1)),
    "dilated_stride_2": ((2, 3, 11, 43), (3, 3), (2, 2), [(1, 2), (2, 1)], (2, 3)),
    "dilated_stride_1": ((2, 3, 11, 23), (2, 3), (1, 1), [(0, 0), (2, 2)], (2, 2)),
    "one_pixel": ((2, 3, 5, 7), (5, 7), (1, 1), [(0, 0), (0, 0)], (1, 1)),
    "whole_planes_below_a_vector": ((2, 3, 1, 3), (1, 3), (1, 1), [(0, 0), (0, 0)], (1, 1)),
    "whole_planes_of_16": ((2, 3, 4, 4), (4, 4), (4, 4), [(0, 0), (0, 0)], (1, 1)),
    "whole_planes_of_many_taps": ((2, 3, 17, 19), (17, 19), (1, 1), [(0, 0), (0, 0)], (1, 1)),
    "whole_volumes": ((2, 3, 3, 4, 5), (3, 4, 5), (1, 1, 1), [(0, 0)] * 3, (1, 1, 1)),
    "kernel_of_one": ((2, 3, 5, 7), (1, 1), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "pads_over_kernel": ((2, 3, 4, 5), (2, 2), (1, 2), [(5, 3), (4, 7)], (1, 1)),
    "pads_over_kernel_dilated": ((2, 3, 4, 5), (2, 3), (2, 1), [(6, 6), (7, 5)], (3, 4)),
    "only_padding": ((2, 3, 1, 1), (1, 1), (3, 3), [(2, 2), (2, 2)], (1, 1)),
    "empty_batch": ((0, 3, 5, 7), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "3x3_stride_2_wide": ((2, 3, 9, 97), (3, 3), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "3x3_stride_2_wide_padded": ((2, 3, 8, 131), (3, 3), (2, 2), [(1, 1), (1, 1)], (1, 1)),
    "2x2_stride_2_wide_padded": ((2, 3, 8, 131), (2, 2), (2, 2), [(1, 0), (1, 1)], (1, 1)),
    "4x4_stride_2_wide_padded": ((2, 3, 8, 70), (4, 4), (2, 2), [(1, 2), (2, 1)], (1, 1)),
    "3x4_stride_2_wide_padded": ((2, 3, 9, 73), (3, 4), (2, 2), [(0, 1), (3, 2)], (1, 1)),
    "3x3_stride_3_wide": ((2, 3, 8, 131), (3, 3), (3, 3), [(0, 0), (1, 1)], (1, 1)),
    "5x5_stride_4_wide": ((2, 3, 13, 90), (5, 5), (4, 4), [(2, 2), (2, 2)], (1, 1)),
    "2x2_small_planes": ((5, 7, 10, 10), (2, 2), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "2x2_small_planes_padded": ((5, 7, 5, 7), (2, 2), (2, 2), [(1, 1), (1, 0)], (1, 1)),
    "2x2_stride_3_small_planes": ((5, 7, 7, 11), (2, 2), (3, 3), [(1, 0), (1, 1)], (1, 1)),
    "3x3_small_planes": ((5, 7, 13, 13), (3, 3), (2, 2), [(0, 0), (0, 0)], (1, 1)),
    "3x3_small_planes_padded": ((5, 7, 8, 14), (3, 3), (2, 2), [(1, 1), (1, 1)], (1, 1)),
    "11x3_stride_1_many_rows": ((1, 2, 13, 7), (11, 3), (1, 1), [(3, 4), (1, 1)], (1, 1)),
    "1d_2_stride_2": ((2, 3, 37), (2,), (2,), [(0, 0)], (1,)),
    "1d_3_stride_2": ((2, 3, 19), (3,), (2,), [(1, 1)], (1,)),
    "3d_2_stride_2": ((2, 3, 4, 5, 7), (2, 2, 2), (2, 2, 2), [(0, 0)] * 3, (1, 1, 1)),
    "3d_mixed": ((1, 2, 5, 7, 18), (3, 2, 3), (1, 2, 2), [(1, 0), (0, 2), (1, 1)], (1, 2, 1)),
}
CASES = pytest.mark.parametrize("case", GEOMETRIES.values(), ids=list(GEOMETRIES))


@CASES
@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pool(case, dtype, isa):
    shape, kernel, stride, pads, dilation = case
    check_max(few_integers(shape, dtype), kernel, stride, pads, dilation)
    check_max(few_integers(shape, dtype), kernel, stride, pads, dilation, ceil=True)


@CASES
@pytest.mark.parametrize("dtype", DTYPES)
def test_avg_pool(case, dtype, isa):
    shape, kernel, stride, pads, _ = case
    x = few_integers(shape, dtype)
    check_avg(x, kernel, stride, pads)
    check_avg(x, kernel, stride, pads, ceil_mode=True, count_include_pad=False)
    if len(kernel) > 1:
        check_avg(x, kernel, stride, pads, divisor_override=-3)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_pool_drawn(data):
    rank = data.draw(st.integers(1, 3))
    most = (70, 24, 6)[rank - 1]
    per_axis = lambda a, b: data.draw(st.lists(st.integers(a, b), min_size=rank, max_size=rank))  # noqa: E731
    size, kernel, stride, dilation = per_axis(1, most), per_axis(1, 4), per_axis(1, 3), per_axis(1, 3)
    pads = list(zip(per_axis(0, 5), per_axis(0, 5)))
    for i in range(rank):
        missing = dilation[i] * (kernel[i] - 1) + 1 - size[i] - sum(pads[i])
        size[i] += max(0, missing)
    dtype = data.draw(st.sampled_from(DTYPES))
    ceil = data.draw(st.booleans())
    isa = _core.isa()
    _core.set_isa(data.draw(st.sampled_from(_core.available_isas())))
    try:
        x = few_integers((1, 2, *size), dtype, data.draw(st.integers(0, 99)))
        check_max(x, kernel, stride, pads, dilation, ceil)
        check_avg(x, kernel, stride, pads, ceil_mode=ceil, count_include_pad=data.draw(st.booleans()))
    finally:
        _core.set_isa(isa)


def test_the_lectures_example(isa):
    x = np.array([[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]], np.float32)
    y, indices = F.max_pool2d(x[None, None], 2, return_indices=True)
    np.testing.assert_array_equal(y[0, 0], [[20, 30], [112, 37]])
    np.testing.assert_array_equal(indices[0, 0], [[1, 2], [12, 10]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [2, 3, 9, 33, 70])
@pytest.mark.parametrize("kernel", [2, 3])
def test_the_first_of_equal_maxima_wins(kernel, width, dtype, isa):
    x = np.full((1, 1, 6, max(width, kernel)), 7, dtype)
    for stride in (1, 2):
        _, indices = F.max_pool2d(x, kernel, stride, return_indices=True)
        rows, columns = np.indices(indices.shape[2:]) * stride
        np.testing.assert_array_equal(indices[0, 0], rows * x.shape[3] + columns)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pads", [(0, 0), (1, 0), (0, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("kernel", [2, 3])
def test_max_pool_of_every_narrow_width(kernel, pads, dtype, isa):
    # Rows narrower than a vector are written into the rows behind them, which must come later.
    for width in range(kernel, 20):
        x = np.random.default_rng(width).permutation(2 * 2 * 7 * width).reshape(2, 2, 7, width).astype(dtype)
        check_max(x, (kernel, kernel), (2, 2), [(p, p) for p in pads], (1, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("kernel", [2, 3])
def test_nan_is_the_maximum_and_the_first_one_counts(kernel, padding, dtype, isa):
    x = few_integers((2, 2, 12, 40), dtype)
    x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan
    x[0, 0, 5] = np.nan
    check_max(x, (kernel, kernel), (2, 2), [(padding, padding)] * 2, (1, 1))


@CASES
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_anywhere(case, dtype, isa):
    shape, kernel, stride, pads, dilation = case
    x = few_integers(shape, dtype)
    x[np.random.default_rng(1).random(shape) < 0.05] = np.nan
    check_max(x, kernel, stride, pads, dilation)


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinities(dtype, isa):
    x = np.full((1, 1, 6, 36), -np.inf, dtype)
    check_max(x, (3, 3), (2, 2), [(1, 1), (1, 1)], (1, 1))
    check_max(x, (6, 36), (1, 1), [(0, 0), (0, 0)], (1, 1))
    x[..., 3] = np.inf
    check_max(x, (3, 3), (2, 2), [(1, 1), (1, 1)], (1, 1))
    check_max(x, (6, 36), (1, 1), [(0, 0), (0, 0)], (1, 1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_zero_of_a_plane_keeps_its_sign(dtype, isa):
    x = np.zeros((1, 1, 5, 9), dtype)
    for place in (0, 7, 44):
        x.flat[place] = -0.0
        np.testing.assert_array_equal(np.signbit(F.max_pool2d(x, (5, 9))), np.signbit(x[..., :1, :1]))
        np.testing.assert_array_equal(np.signbit(F.adaptive_max_pool2d(x, 1)), np.signbit(x[..., :1, :1]))
        x.flat[place] = 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dilation", [1, 3], ids=["dense", "dilated"])
def test_a_window_wholly_in_the_padding(dilation, dtype, isa):
    x = few_integers((1, 1, 3, 3), dtype)
    options = {"stride": 1, "padding": 9, "dilation": dilation}
    y, indices = F.max_pool2d(x, 2, **options, return_indices=True)
    alone = indices == -1
    assert alone.any()
    assert not alone.all()
    np.testing.assert_array_equal(np.isneginf(y), alone)
    _, pull = tenfold.vjp(lambda v: F.max_pool2d(v, 2, **options), x)
    assert pull(np.where(alone, 1000, 0).astype(dtype))[0].sum() == 0
    y = F.avg_pool2d(x, 2, 1, 9, count_include_pad=False)
    assert np.isfinite(y).all()
    assert y[0, 0, 0, 0] == 0


@pytest.mark.parametrize("ceil", [False, True])
def test_the_number_of_outputs(ceil):
    for n in range(1, 12):
        for k, s, p, d in [
            (2, 2, 0, 1),
            (3, 2, 1, 1),
            (2, 3, 1, 1),
            (2, 5, 2, 2),
            (3, 1, 0, 2),
            (1, 4, 3, 1),
        ]:
            if n + 2 * p < d * (k - 1) + 1:
                continue
            y = F.max_pool1d(np.zeros((1, 1, n)), k, s, p, d, ceil)
            assert y.shape[2] == reference.output_size(n, k, s, d, p, p, ceil), (n, k, s, p, d)


def test_padding_by_name():
    x = few_integers((2, 3, 7, 11), np.float32)
    assert F.max_pool2d(x, 3, 2, "same").shape == (2, 3, 4, 6)
    np.testing.assert_array_equal(F.max_pool2d(x, 3, 2, "valid"), F.max_pool2d(x, 3, 2))
    np.testing.assert_array_equal(F.max_pool2d(x, 2, 1, "same"), F.max_pool2d(x, 2, 1, [(0, 1), (0, 1)]))


def test_a_sample_without_the_batch_axis():
    x = few_integers((3, 7, 11), np.float32)
    np.testing.assert_array_equal(F.max_pool2d(x, 2), F.max_pool2d(x[None], 2)[0])
    np.testing.assert_array_equal(F.avg_pool2d(x, 2), F.avg_pool2d(x[None], 2)[0])
    np.testing.assert_array_equal(F.adaptive_max_pool2d(x, 2), F.adaptive_max_pool2d(x[None], 2)[0])


def test_non_contiguous_and_read_only_inputs_work():
    x = few_integers((2, 3, 14, 22), np.float32)
    view = x[:, ::-1, ::2, ::2]
    view.setflags(write=False)
    np.testing.assert_array_equal(F.max_pool2d(view, 2), F.max_pool2d(view.copy(), 2))


@pytest.mark.parametrize(
    ("size", "outputs"),
    [((7,), (3,)), ((7,), (1,)), ((5, 11), (3, 4)), ((5, 11), (1, 1)), ((5, 11), (7, 13)), ((5, 11), (5, 11)),
     ((3, 5, 7), (2, 2, 3)), ((4, 6, 34), (1, 1, 1)), ((4, 6, 34), (2, 3, 1))],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("dtype", DTYPES)
def test_adaptive_pool(size, outputs, dtype, isa):
    x = few_integers((2, 3, *size), dtype)
    expected, positions = reference.adaptive_max_pool(x, outputs)
    f = ADAPTIVE_MAX[len(size)]
    y, indices = f(x, outputs, return_indices=True)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(indices, positions)
    dy = few_integers(y.shape, dtype, 1)
    for g in (lambda v: f(v, outputs), lambda v: f(v, outputs, return_indices=True)[0]):
        y, pull = tenfold.vjp(g, x)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(pull(dy)[0], reference.scatter(x, dy, positions))

    wide = x.astype(np.float64)
    y, pull = tenfold.vjp(lambda v: ADAPTIVE_AVG[len(size)](v, outputs), x)
    terms = int(np.prod(size))
    assert_close(y, reference.adaptive_avg_pool(wide, outputs), terms, scale=4)
    expected = reference.adaptive_avg_pool_backward(wide, dy.astype(np.float64), outputs)
    assert_close(pull(dy)[0], expected, terms, scale=4)


def test_adaptive_output_none_keeps_the_input():
    x = few_integers((2, 3, 5, 7), np.float32)
    assert F.adaptive_avg_pool2d(x, (None, 2)).shape == (2, 3, 5, 2)
    np.testing.assert_array_equal(F.adaptive_max_pool2d(x, None), x)


def test_adaptive_pool_passes_nan_on():
    x = few_integers((1, 2, 4, 6), np.float32)
    x[0, 1, 2, 3] = x[0, 1, 3, 5] = np.nan
    y, indices = F.adaptive_max_pool2d(x, 1, return_indices=True)
    assert np.isnan(y[0, 1, 0, 0])
    assert indices[0, 1, 0, 0] == 15
    assert np.isnan(F.adaptive_avg_pool2d(x, 1)[0, 1, 0, 0])


@pytest.mark.parametrize("name", ["max", "avg", "adaptive_max", "adaptive_avg"])
def test_threads_do_not_change_a_bit(name, threads):
    x = np.random.default_rng(0).standard_normal((8, 7, 33, 47)).astype(np.float32)
    f = {
        "max": lambda v: F.max_pool2d(v, 3, 2, 1),
        "avg": lambda v: F.avg_pool2d(v, 3, 2, 1),
        "adaptive_max": lambda v: F.adaptive_max_pool2d(v, 5),
        "adaptive_avg": lambda v: F.adaptive_avg_pool2d(v, 5),
    }[name]
    y, pull = tenfold.vjp(f, x)
    (dx,) = pull(y)
    _core.set_num_threads(1)
    alone, pull = tenfold.vjp(f, x)
    np.testing.assert_array_equal(y, alone)
    np.testing.assert_array_equal(dx, pull(alone)[0])


@pytest.mark.parametrize(
    "f",
    [
        lambda v: F.max_pool2d(v, 3, 2, 1),
        lambda v: F.max_pool2d(v, 2),
        lambda v: F.max_pool2d(v, 2, 1, 3, 2),
        lambda v: F.avg_pool2d(v, 3, 2, 1),
        lambda v: F.avg_pool2d(v, 2, ceil_mode=True, count_include_pad=False),
        lambda v: F.avg_pool2d(v, 3, 1, [(1, 0), (0, 2)]),
        lambda v: F.adaptive_avg_pool2d(v, (2, 3)),
        lambda v: F.adaptive_max_pool2d(v, (2, 3)),
    ],
)
def test_finite_differences(f):
    x = np.random.default_rng(0).permutation(2 * 5 * 7).reshape(1, 2, 5, 7) / 10
    if f(x).min() > -np.inf:
        check_gradients(f, x)
    else:  # windows in the padding alone have no finite value to difference
        check_gradients(lambda v: F.getitem(f(v), (..., slice(3, -3), slice(3, -3))), x)


X = np.zeros((2, 3, 5, 7))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: F.max_pool2d(X, 0),
            ValueError,
            r"max_pool2d: kernel_size must be positive .* received \(0, 0\)",
        ),
        (lambda: F.max_pool2d(X, (2, -1)), ValueError, r"max_pool2d: kernel_size must be positive"),
        (
            lambda: F.max_pool2d(X, 2, 0),
            ValueError,
            r"max_pool2d: stride must be positive .* received \(0, 0\)",
        ),
        (lambda: F.max_pool2d(X, 2, (1, -2)), ValueError, r"max_pool2d: stride must be positive"),
        (lambda: F.max_pool2d(X, 2, dilation=0), ValueError, r"max_pool2d: dilation must be positive"),
        (lambda: F.max_pool2d(X, 2, padding=-1), ValueError, r"max_pool2d: padding must be non-negative"),
        (
            lambda: F.max_pool2d(X, 2, padding="full"),
            ValueError,
            r"max_pool2d: padding must be .* received 'full'",
        ),
        (lambda: F.max_pool2d(X, 6), ValueError, r"max_pool2d: kernel_size must fit the padded input"),
        (lambda: F.max_pool2d(X, (2, 2, 2)), ValueError, r"max_pool2d: kernel_size must be an int or 2 ints"),
        (lambda: F.max_pool2d(X, 2.0), TypeError, r"max_pool2d: kernel_size must be an int"),
        (lambda: F.max_pool2d(X, True), TypeError, r"max_pool2d: kernel_size must be an int"),
        (
            lambda: F.max_pool2d(X, 2, ceil_mode="yes"),
            TypeError,
            r"max_pool2d: ceil_mode must be True or False",
        ),
        (
            lambda: F.max_pool2d(X[0, 0], 2),
            ValueError,
            r"max_pool2d: input must have the shape \(N, C, H, W\)",
        ),
        (lambda: F.max_pool1d(X, 2), ValueError, r"max_pool1d: input must have the shape \(N, C, L\)"),
        (
            lambda: F.max_pool3d(X[0], 2),
            ValueError,
            r"max_pool3d: input must have the shape \(N, C, D, H, W\)",
        ),
        (
            lambda: F.max_pool2d(X.astype(int), 2),
            TypeError,
            r"max_pool2d: input must be .* received dtype int64",
        ),
        (
            lambda: F.max_pool2d(X.astype(object), 2),
            TypeError,
            r"max_pool2d: input must be .* received dtype object",
        ),
        (lambda: F.max_pool2d([[1.0]], 2), TypeError, r"max_pool2d: input must be .* received list"),
        (lambda: F.max_pool2d(X, 2, padding=2**40), ValueError, r"max_pool2d: padding must be at most 2\^31"),
        (
            lambda: F.max_pool2d(X, 1, padding=2**31),
            ValueError,
            r"max_pool2d: output must have at most 2\^48",
        ),
        (lambda: F.avg_pool2d(X, 0), ValueError, r"avg_pool2d: kernel_size must be positive"),
        (lambda: F.avg_pool2d(X, 2, -1), ValueError, r"avg_pool2d: stride must be positive"),
        (
            lambda: F.avg_pool2d(X, 2, divisor_override=0),
            ValueError,
            r"avg_pool2d: divisor_override must not be 0",
        ),
        (lambda: F.avg_pool1d(X, 2), ValueError, r"avg_pool1d: input must have the shape"),
        (
            lambda: F.adaptive_avg_pool2d(X, 0),
            ValueError,
            r"adaptive_avg_pool2d: output_size must be positive",
        ),
        (
            lambda: F.adaptive_avg_pool2d(X, (1, 2, 3)),
            ValueError,
            r"adaptive_avg_pool2d: output_size must be an int",
        ),
        (
            lambda: F.adaptive_max_pool2d(X, 1.5),
            TypeError,
            r"adaptive_max_pool2d: output_size must be an int",
        ),
        (
            lambda: F.adaptive_max_pool2d(X[:, :, :0], 1),
            ValueError,
            r"adaptive_max_pool2d: input must not be empty",
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()

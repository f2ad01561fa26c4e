"""Convolution, transposed convolution and their gradients against the definition.

Index logic is filled with small integers: every sum is exact in float32, so results must be equal, whatever the order
of the additions.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gradcheck import check_gradients
from tests.reference import conv as reference
from tests.tolerance import assert_close

import tenfold
from tenfold import _core
from tenfold import functional as F
from tenfold.graph import FunctionProgram

BORDERS = ["constant", "reflect", "symmetric", "replicate", "circular"]
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def integers(rng, *shape, dtype=np.float32):
    return rng.integers(-4, 5, shape).astype(dtype)


# reason: N, C, F, groups, size, kernel, stride, pads, dilation
GEOMETRIES = {
    "plain": (2, 3, 5, 1, (7, 11), (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "few_sums_of_many_pixels": (1, 2, 3, 1, (101, 131), (3, 3), (1, 1), ((1, 1), (0, 1)), (1, 1)),
    "padded_unevenly": (2, 3, 5, 1, (7, 11), (3, 4), (1, 1), ((1, 2), (3, 0)), (1, 1)),
    "stride_leaves_rest": (2, 3, 5, 1, (7, 11), (3, 3), (2, 3), ((1, 1), (0, 2)), (1, 1)),
    "stride_beyond_kernel": (2, 3, 5, 1, (7, 11), (2, 1), (3, 4), ((0, 1), (2, 1)), (1, 1)),
    "dilated": (2, 3, 5, 1, (7, 11), (3, 2), (1, 1), ((2, 1), (0, 3)), (2, 3)),
    "dilation_meets_stride": (2, 3, 5, 1, (9, 11), (3, 3), (2, 2), ((2, 2), (3, 1)), (2, 3)),
    "groups": (2, 6, 4, 2, (7, 11), (3, 2), (1, 1), ((1, 1), (1, 0)), (1, 1)),
    "depthwise": (2, 5, 5, 5, (7, 19), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "depthwise_stride_multiplier": (2, 5, 10, 5, (7, 11), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    "depthwise_rows": (1, 3, 3, 3, (6, 37), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "depthwise_rows_stride_two": (1, 3, 3, 3, (9, 71), (3, 3), (2, 2), ((1, 0), (0, 2)), (1, 1)),
    "depthwise_column_stride_two": (2, 3, 3, 3, (8, 8), (3, 1), (2, 2), ((1, 1), (0, 0)), (1, 1)),
    "depthwise_narrow": (1, 4, 4, 4, (11, 7), (7, 7), (1, 1), ((3, 3), (3, 3)), (1, 1)),
    "depthwise_narrow_stride_two": (1, 4, 8, 4, (19, 13), (5, 5), (2, 2), ((2, 2), (2, 2)), (1, 1)),
    "depthwise_two_vectors": (1, 3, 3, 3, (13, 27), (5, 4), (1, 1), ((2, 2), (1, 2)), (1, 1)),
    "depthwise_low": (2, 3, 3, 3, (3, 30), (2, 5), (1, 1), ((0, 0), (2, 2)), (1, 1)),
    "one_by_one": (3, 7, 10, 1, (7, 11), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "one_by_one_stride": (3, 7, 10, 1, (7, 11), (1, 1), (2, 3), ((0, 0), (0, 0)), (1, 1)),
    "one_by_one_padded_stride": (3, 7, 10, 1, (7, 11), (1, 1), (2, 3), ((2, 1), (1, 4)), (1, 1)),
    "one_by_one_padded": (2, 3, 5, 1, (5, 6), (1, 1), (1, 1), ((1, 0), (2, 1)), (1, 1)),
    "one_by_one_every_second": (2, 6, 4, 2, (3, 75), (1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    "one_by_one_volume_stride": (
        2,
        3,
        5,
        1,
        (3, 4, 5),
        (1, 1, 1),
        (2, 1, 2),
        ((1, 1), (0, 0), (0, 1)),
        (1, 1, 1),
    ),
    "one_pixel_output": (2, 3, 5, 1, (5, 4), (5, 4), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "one_pixel_image": (9, 3, 5, 1, (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "row_of_tile_plus_one": (1, 2, 7, 1, (2, 51), (1, 3), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "row_of_tile": (1, 2, 9, 1, (2, 50), (1, 3), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "row_of_tile_minus_one": (1, 2, 10, 1, (2, 49), (1, 3), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "filters_beyond_a_vector": (2, 2, 37, 1, (5, 6), (3, 2), (1, 1), ((1, 1), (1, 0)), (1, 1)),
    "many_channels": (1, 40, 3, 1, (4, 5), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "signal": (2, 3, 5, 1, (23,), (4,), (2,), ((1, 2),), (2,)),
    "long_signal": (1, 1, 1, 1, (700,), (5,), (1,), ((2, 2),), (1,)),
    "volume": (2, 3, 2, 1, (4, 3, 5), (2, 3, 2), (1, 2, 1), ((1, 0), (1, 1), (0, 1)), (1, 1, 2)),
    "volume_of_one_slice": (1, 2, 3, 1, (2, 6, 5), (2, 3, 3), (1, 1, 1), ((0, 0), (0, 0), (0, 0)), (1, 1, 1)),
    "padding_beyond_image": (2, 3, 5, 1, (2, 3), (3, 2), (1, 2), ((5, 4), (7, 6)), (1, 1)),
    "padding_beyond_image_transposed": (2, 3, 5, 1, (8, 9), (3, 2), (1, 1), ((4, 3), (3, 4)), (1, 1)),
    "narrow_rows_in_place": (1, 2, 5, 1, (41, 4), (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "pixels_beyond_a_tile_in_place": (1, 3, 13, 1, (5, 11), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "few_pixels_many_weights": (1, 40, 19, 1, (4, 3), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "chunks_of_strips": (1, 4, 5, 1, (173, 7), (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "images_in_lanes": (31, 1, 6, 1, (9, 8), (5, 4), (1, 1), ((2, 2), (2, 1)), (1, 1)),
    "images_in_lanes_unevenly": (32, 3, 8, 1, (9, 8), (3, 5), (1, 1), ((1, 0), (0, 2)), (2, 1)),
    "images_in_lanes_stride": (32, 4, 9, 1, (11, 9), (3, 5), (2, 2), ((2, 1), (1, 1)), (1, 1)),
    "filters_in_shares": (1, 9, 70, 1, (4, 5), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "ragged_rows": (2, 2, 7, 1, (5, 37), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "ragged_rows_stride": (1, 3, 14, 1, (9, 109), (3, 4), (2, 2), ((1, 0), (1, 1)), (1, 1)),
    "ragged_rows_in_place": (1, 1, 9, 1, (6, 55), (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "side_by_side": (2, 33, 34, 1, (22, 26), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    "side_by_side_slices": (1, 34, 33, 1, (3, 18, 22), (1, 3, 2), (1, 3, 2), ((0, 0),) * 3, (1, 1, 1)),
    "side_by_side_tall": (1, 33, 34, 1, (84, 22), (7, 2), (7, 2), ((0, 0), (0, 0)), (1, 1)),
    "empty_batch": (0, 3, 5, 1, (7, 11), (3, 2), (1, 1), ((1, 1), (0, 0)), (1, 1)),
}


def make(name, dtype=np.float32, transposed=False):
    n, c, f, groups, size, kernel, stride, pads, dilation = GEOMETRIES[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    x = integers(rng, n, c, *size, dtype=dtype)
    shape = (c, f // groups, *kernel) if transposed else (f, c // groups, *kernel)
    return (
        x,
        integers(rng, *shape, dtype=dtype),
        integers(rng, f, dtype=dtype),
        stride,
        pads,
        dilation,
        groups,
    )


# One definition serves all instruction sets and algorithms: the loops are what takes time here.
@functools.cache
def defined_conv(name, border, border_value):
    x, w, b, stride, pads, dilation, groups = make(name)
    args = (stride, pads, dilation, groups, border, border_value)
    y = reference.conv(x, w, b, *args)
    dy = integers(np.random.default_rng(1), *y.shape)
    return y, dy, reference.conv_backward(x, w, dy, *args)


@functools.cache
def defined_transposed(name, border, pads, extra):
    x, w, b, stride, _, dilation, groups = make(name, transposed=True)
    y = reference.conv_transpose(x, w, b, stride, pads, extra, dilation, groups, border)
    dy = integers(np.random.default_rng(2), *y.shape)
    return y, dy, reference.conv_transpose_backward(x, w, dy, stride, pads, dilation, groups, border)


def check(function, arrays, defined):
    expected, dy, gradients = defined
    y, pull = tenfold.vjp(function, *arrays)
    assert y.dtype == arrays[0].dtype
    np.testing.assert_array_equal(y, expected)
    for name, a, e in zip(("dx", "dw", "db"), pull(dy.astype(y.dtype)), gradients):
        np.testing.assert_array_equal(a, e, err_msg=name)


def check_conv(name, border="constant", border_value=0.0, algorithm="auto", dtype=np.float32):
    x, w, b, stride, pads, dilation, groups = make(name, dtype)

    def function(x, w, b):
        conv = CONV[len(stride)]
        options = {"border": border, "border_value": border_value, "algorithm": algorithm}
        return conv(x, w, b, stride, pads, dilation, groups, **options)

    check(function, (x, w, b), defined_conv(name, border, border_value))


def check_transposed(name, border="constant", extra=None, algorithm="auto", dtype=np.float32):
    x, w, b, stride, pads, dilation, groups = make(name, dtype, transposed=True)
    extra = extra or (0,) * len(stride)
    # A padding that would leave nothing of the output is left out.
    pads = tuple(
        p if (n - 1) * s + d * (k - 1) + 1 > sum(p) else (0, 0)
        for p, n, s, d, k in zip(pads, x.shape[2:], stride, dilation, w.shape[2:])
    )

    def function(x, w, b):
        conv = TRANSPOSED[len(stride)]
        return conv(x, w, b, stride, pads, extra, groups, dilation, border=border, algorithm=algorithm)

    check(function, (x, w, b), defined_transposed(name, border, pads, extra))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_conv_and_gradients_equal_the_definition(name, isa):
    check_conv(name)


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_algorithm_takes_every_geometry(name, algorithm):
    check_conv(name, algorithm=algorithm, dtype=np.float64)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    "name",
    ["padded_unevenly", "dilation_meets_stride", "one_by_one_padded", "signal", "volume", "images_in_lanes"],
)
def test_borders(name, border):
    check_conv(name, border, border_value=2.0)


@pytest.mark.parametrize("border", ["symmetric", "replicate", "circular"])
def test_padding_wider_than_the_image(border):
    check_conv("padding_beyond_image", border)
    check_transposed("padding_beyond_image_transposed", border)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_transposed_and_gradients_equal_the_definition(name, isa):
    stride, dilation = GEOMETRIES[name][6], GEOMETRIES[name][8]
    check_transposed(name, extra=tuple(max(s, d) - 1 for s, d in zip(stride, dilation)))


@pytest.mark.parametrize("name", ["side_by_side", "side_by_side_slices"])
def test_transposed_without_a_rest(name, isa):
    check_transposed(name)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    "name",
    ["padded_unevenly", "dilation_meets_stride", "one_by_one_padded", "signal", "volume", "images_in_lanes"],
)
def test_borders_of_the_transposed(name, border):
    check_transposed(name, border)


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("name", ["stride_leaves_rest", "dilation_meets_stride", "groups", "volume"])
def test_every_algorithm_of_the_transposed(name, algorithm):
    check_transposed(name, algorithm=algorithm, dtype=np.float64)


@pytest.mark.parametrize("shape", [
    pytest.param((2, 3, 70, 6, 40, 40, 3, 1, 1), id="strips"),
    pytest.param((9, 33, 70, 1, 7, 7, 3, 1, 1), id="images_share_panels"),
    pytest.param((3, 20, 65, 1, 15, 15, 3, 2, 1), id="stride"),
    pytest.param((2, 300, 34, 1, 6, 6, 1, 1, 1), id="deep_one_by_one"),
    pytest.param((1, 40, 150, 1, 7, 7, 3, 1, 1), id="few_pixels"),
    pytest.param((1, 40, 33, 1, 7, 9, 5, 1, 2), id="filters_share_packed_pixels"),
    pytest.param((1, 50, 30, 1, 11, 12, 5, 2, 2), id="filters_share_packed_pixels_stride"),
    pytest.param((1, 64, 64, 1, 28, 28, 7, 1, 3), id="blocks_of_pixels_shared_out"),
    pytest.param((1, 3, 40, 1, 50, 50, 3, 1, 1), id="chunks_of_strips"),
    pytest.param((2, 1, 9, 1, 131, 75, 3, 1, 0), id="few_sums_of_many_pixels"),
    pytest.param((5, 40, 34, 1, 9, 9, 1, 2, 1), id="every_second_pixel"),
    pytest.param((80, 2, 7, 1, 9, 9, 5, 1, 1), id="images_in_lanes"),
    pytest.param((3, 140, 390, 1, 24, 26, 2, 2, 0), id="side_by_side"),
    pytest.param((5, 140, 130, 1, 13, 11, 1, 1, 0), id="images_in_one_product"),
    pytest.param((2, 1024, 260, 1, 8, 8, 1, 1, 0), id="images_in_one_product_of_aliased_weights"),
    pytest.param((3, 33, 40, 1, 66, 66, 3, 1, 1), id="many_tiles"),
    pytest.param((5, 3, 40, 1, 160, 176, 16, 16, 0), id="patches"),
])  # fmt: skip
def test_bits_do_not_depend_on_threads(shape):
    n, c, f, groups, h, w, k, s, p = shape
    c, f = c * groups, f // groups * groups
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, c, h, w), np.float32)
    weight = rng.standard_normal((f, c // groups, k, k), np.float32)
    bias = rng.standard_normal(f, np.float32)
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            y, pull = tenfold.vjp(lambda x, w, b: F.conv2d(x, w, b, s, p, 1, groups), x, weight, bias)
            results.append((y, *pull(np.sin(np.arange(y.size, dtype=np.float32)).reshape(y.shape))))
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_real_numbers_are_close(dtype, isa):
    rng = np.random.default_rng(4)
    x, w = (
        rng.standard_normal((2, 17, 9, 10)).astype(dtype),
        rng.standard_normal((11, 17, 3, 3)).astype(dtype),
    )
    y, pull = tenfold.vjp(lambda x, w: F.conv2d(x, w, padding=1), x, w)
    args = ((1, 1), ((1, 1), (1, 1)), (1, 1))
    assert_close(y, reference.conv(x, w, None, *args), terms=17 * 9)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx, dw = pull(dy)
    ex, ew, _ = reference.conv_backward(x, w, dy, *args)
    assert_close(dx, ex, terms=3 * 9)
    assert_close(dw, ew, terms=2 * 30)


def test_finite_differences():
    rng = np.random.default_rng(5)
    x, w, b = rng.standard_normal((2, 2, 5, 4)), rng.standard_normal((4, 1, 3, 2)), rng.standard_normal(4)
    check_gradients(lambda x, w, b: F.conv2d(x, w, b, 2, ((1, 2), (0, 1)), 1, 2, border="reflect"), x, w, b)
    check_gradients(
        lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1, border="replicate"),
        x[:, :, :3, :3],
        rng.standard_normal((2, 3, 3, 2)),
        b[:3],
    )


@given(st.data())
@settings(deadline=None, max_examples=40, derandomize=True)
def test_adjoint_of_drawn_geometries(data):
    """<conv x, y> = <x, convT y>, exactly, and both equal the definition."""
    rank = data.draw(st.integers(1, 3), label="rank")

    def draw(low, high, label):
        return tuple(data.draw(st.integers(low, high), label=label) for _ in range(rank))

    kernel, stride, dilation = draw(1, 3, "kernel"), draw(1, 3, "stride"), draw(1, 3, "dilation")
    size = draw(1, {1: 40, 2: 9, 3: 5}[rank], "size")
    border = data.draw(st.sampled_from(BORDERS), label="border")
    most = [n - 1 if border == "reflect" else 3 for n in size]
    pads = tuple((data.draw(st.integers(0, min(3, m))), data.draw(st.integers(0, min(3, m)))) for m in most)
    size = tuple(max(n, d * (k - 1) + 1 - sum(p)) for n, k, d, p in zip(size, kernel, dilation, pads))
    groups = data.draw(st.integers(1, 2), label="groups")
    channels, filters = (groups * data.draw(st.integers(1, 3)) for _ in range(2))
    rng = np.random.default_rng(data.draw(st.integers(0, 99), label="seed"))
    x = integers(rng, 2, channels, *size)
    w = integers(rng, filters, channels // groups, *kernel)
    y = CONV[rank](x, w, None, stride, pads, dilation, groups, border=border)
    np.testing.assert_array_equal(y, reference.conv(x, w, None, stride, pads, dilation, groups, border))
    extra = [
        (n + sum(p) - d * (k - 1) - 1) % s for n, k, s, p, d in zip(size, kernel, stride, pads, dilation)
    ]
    c = integers(rng, *y.shape)
    back = TRANSPOSED[rank](c, w, None, stride, pads, extra, groups, dilation, border=border)
    assert back.shape == x.shape
    assert np.vdot(y, c) == np.vdot(x, back)


@pytest.mark.parametrize("at_zero", [0, 0.5, 1])
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "unfused"])
def test_relu_after_conv(fused, at_zero, isa):
    """Sums that are exactly zero get the chosen derivative, whether relu is part of the convolution or not."""
    x, w, b, stride, pads, dilation, groups = make("padded_unevenly")
    args = (stride, pads, dilation, groups)
    pre = reference.conv(x, w, b, *args)
    assert np.count_nonzero(pre == 0) > 4

    def function(x, w, b):
        z = F.conv2d(x, w, b, *args)
        y = F.relu(z, at_zero=at_zero)
        return y if fused else (y, z)  # what is asked for itself cannot be fused away

    program = FunctionProgram(function, [x, w, b])
    np.testing.assert_array_equal(program.forward([x, w, b])[0], np.maximum(pre, 0))
    dy = 2 * integers(np.random.default_rng(8), *pre.shape)
    expected = reference.conv_backward(x, w, np.where(pre > 0, dy, (pre == 0) * at_zero * dy), *args)
    gradients = program.backward([dy] if fused else [dy, np.zeros_like(dy)])
    for name, a, e in zip(("dx", "dw", "db"), gradients, expected):
        np.testing.assert_array_equal(a, e, err_msg=name)


def test_unbatched_is_a_batch_of_one():
    rng = np.random.default_rng(6)
    x, w, v = integers(rng, 3, 7, 11), integers(rng, 5, 3, 3, 2), integers(rng, 3, 2, 2, 3)
    np.testing.assert_array_equal(F.conv2d(x, w), F.conv2d(x[None], w)[0])
    np.testing.assert_array_equal(
        F.conv_transpose2d(x, v, stride=2), F.conv_transpose2d(x[None], v, stride=2)[0]
    )


def test_non_contiguous_and_read_only_inputs():
    rng = np.random.default_rng(7)
    x, w = integers(rng, 2, 11, 7, 3).transpose(0, 3, 2, 1), integers(rng, 3, 5, 2, 3).transpose(1, 0, 3, 2)
    x.setflags(write=False)
    w.setflags(write=False)
    np.testing.assert_array_equal(F.conv2d(x, w), F.conv2d(np.ascontiguousarray(x), np.ascontiguousarray(w)))


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_same_padding_gives_ceil_of_size_over_stride(stride):
    x, w = np.ones((1, 1, 7, 11), np.float32), np.ones((1, 1, 3, 4), np.float32)
    assert F.conv2d(x, w, stride=stride, padding="same").shape == (1, 1, -(-7 // stride), -(-11 // stride))


def test_valid_ignores_the_border():
    x, w = np.ones((1, 1, 7, 11), np.float32), np.ones((1, 1, 3, 4), np.float32)
    assert F.conv2d(x, w, padding=2, border="valid").shape == (1, 1, 5, 8)
    assert F.conv2d(x, w, padding="valid", border="reflect").shape == (1, 1, 5, 8)


def test_what_lies_beside_a_row_does_not_leak():
    """Infinities in the gaps between rows and in other images must not reach results they have no part in."""
    x = np.zeros((2, 1, 6, 6), np.float32)
    x[1] = np.inf
    x[0, 0, :, 5] = np.nan
    w = np.ones((3, 1, 2, 2), np.float32)
    y, pull = tenfold.vjp(F.conv2d, x, w)
    np.testing.assert_array_equal(np.isnan(y[0]), np.broadcast_to(np.arange(5) == 4, (3, 5, 5)))
    dy = np.zeros_like(y)
    dy[0, :, :, :3] = 1
    dx, _ = pull(dy)
    assert np.isfinite(dx).all()
    _, pull = tenfold.vjp(lambda w: F.conv2d(x[:1, :, :, :5], w), w)
    assert np.isfinite(pull(np.ones((1, 3, 5, 4), np.float32))[0]).all()


X = np.ones((2, 4, 7, 11), np.float32)
W = np.ones((6, 4, 3, 3), np.float32)
BAD = {
    "rank": (lambda: F.conv2d(X[0, 0], W), ValueError, r"conv2d: input must have shape \(N, C, H, W\)"),
    "rank_of_weight": (lambda: F.conv2d(X, W[0]), ValueError, r"conv2d: weight must have 4 axes; received"),
    "channels": (lambda: F.conv2d(X, W[:, :3]), ValueError, r"conv2d: weight must have 4 input channels.*received"),
    "groups": (lambda: F.conv2d(X, W, groups=3), ValueError, r"conv2d: groups must divide the input's channels"),
    "groups_of_filters": (lambda: F.conv2d(X, W[:5, :2], groups=2), ValueError, r"groups must divide the weight's"),
    "groups_zero": (lambda: F.conv2d(X, W, groups=0), ValueError, r"conv2d: groups must be positive; received 0"),
    "stride": (lambda: F.conv2d(X, W, stride=(1, 0)), ValueError, r"stride must be positive.*received \(1, 0\)"),
    "stride_negative": (lambda: F.conv2d(X, W, stride=-1), ValueError, r"stride must be positive along every axis"),
    "dilation": (lambda: F.conv2d(X, W, dilation=0), ValueError, r"conv2d: dilation must be positive"),
    "padding": (lambda: F.conv2d(X, W, padding=-1), ValueError, r"conv2d: padding must be non-negative"),
    "kernel_empty": (lambda: F.conv2d(X, W[:, :, :0]), ValueError, r"conv2d: kernel_size must be positive"),
    "kernel_too_large": (lambda: F.conv2d(X, W, dilation=4), ValueError, r"kernel_size must fit the padded input"),
    "reflect": (lambda: F.conv2d(X, W, padding=7, border="reflect"), ValueError, r"padding must be smaller than"),
    "border": (lambda: F.conv2d(X, W, border="mirror"), ValueError, r"conv2d: border must be one of .*'mirror'"),
    "bias": (lambda: F.conv2d(X, W, np.ones(5, np.float32)), ValueError, r"conv2d: bias must have shape \(6,\)"),
    "algorithm": (lambda: F.conv2d(X, W, algorithm="fft"), ValueError, r"conv2d: algorithm must be .*'fft'"),
    "same_transposed": (lambda: F.conv_transpose2d(X, W, padding="same"), ValueError, r"'same'"),
    "overflow": (lambda: F.conv2d(X, W, padding=2**30), ValueError, r"must have at most 2\^48 elements"),
    "huge": (lambda: F.conv2d(X, W, padding=2**40), ValueError, r"padding must be at most 2\^31"),
    "integers": (lambda: F.conv2d(X.astype(int), W), TypeError, r"conv2d: input must be a float32 or float64"),
    "objects": (lambda: F.conv2d(X, W.astype(object)), TypeError, r"conv2d: weight must be a float32 or float64"),
    "mixed": (lambda: F.conv2d(X, W.astype(float)), TypeError, r"conv2d: weight must have the dtype of input"),
    "float_stride": (lambda: F.conv2d(X, W, stride=1.5), TypeError, r"conv2d: stride must be an int"),
    "transposed_channels": (
        lambda: F.conv_transpose2d(X, W), ValueError, r"conv_transpose2d: weight must have the input's 4 channels",
    ),
    "output_padding": (
        lambda: F.conv_transpose2d(X, W[:4], stride=2, output_padding=2), ValueError, r"output_padding must be non-neg",
    ),
    "nothing_left": (
        lambda: F.conv_transpose2d(X, W[:4], padding=5), ValueError, r"conv_transpose2d: padding must leave an output",
    ),
    "transposed_stride": (
        lambda: F.conv_transpose2d(X, W[:4], stride=0), ValueError, r"conv_transpose2d: stride must be positive",
    ),
    "transposed_overflow": (
        lambda: F.conv_transpose2d(X, W[:4], stride=2**27), ValueError, r"conv_transpose2d: .* at most 2\^48",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    call, error, text = BAD[case]
    with pytest.raises(error, match=text):
        call()


# -- the lecture's examples -----------------------------------------------------------------------------------------

MASK = np.array([[1, 1, 1], [1, 2, 1], [1, 1, 1]], np.float64)
IMAGE = np.array(
    [[4, 3, 2, 4, 5], [6, 2, 4, 4, 5], [3, 5, 3, 7, 6], [6, 1, 9, 8, 7], [2, 1, 1, 2, 7]], np.float64
)


def conv(image, mask, **options):
    return F.conv2d(np.asarray(image, np.float64)[None], mask[None, None], **options)[0]


def transposed(image, mask, **options):
    return F.conv_transpose2d(np.asarray(image, np.float64)[None], mask[None, None], **options)[0]


def test_lecture_mean_mask():
    np.testing.assert_array_equal(conv(IMAGE, MASK), [[34, 38, 44], [44, 46, 60], [32, 46, 58]])
    np.testing.assert_allclose(
        conv(IMAGE, MASK / 10), [[3.4, 3.8, 4.4], [4.4, 4.6, 6.0], [3.2, 4.6, 5.8]], rtol=1e-15
    )


def test_lecture_stride_two_takes_every_second_value():
    image = np.random.default_rng(8).integers(0, 10, (7, 7)).astype(float)
    np.testing.assert_array_equal(conv(image, MASK, stride=2), conv(image, MASK)[::2, ::2])


def test_lecture_transposed():
    image = [[4, 3], [2, 0]]
    np.testing.assert_array_equal(
        transposed(image, MASK, stride=3),
        [[4, 4, 4, 3, 3, 3], [4, 8, 4, 3, 6, 3], [4, 4, 4, 3, 3, 3],
         [2, 2, 2, 0, 0, 0], [2, 4, 2, 0, 0, 0], [2, 2, 2, 0, 0, 0]],
    )  # fmt: skip
    np.testing.assert_array_equal(
        transposed(image, MASK, stride=2),
        [[4, 4, 7, 3, 3], [4, 8, 7, 6, 3], [6, 6, 9, 3, 3], [2, 4, 2, 0, 0], [2, 2, 2, 0, 0]],
    )
    np.testing.assert_array_equal(
        transposed(image, MASK), [[4, 7, 7, 3], [6, 13, 12, 3], [6, 11, 9, 3], [2, 2, 2, 0]]
    )
    np.testing.assert_array_equal(
        transposed([[2, 3], [1, 0]], MASK), [[2, 5, 5, 3], [3, 8, 9, 3], [3, 7, 6, 3], [1, 1, 1, 0]]
    )


def test_lecture_matrix_of_a_convolution():
    image = IMAGE[:4, :4].copy()
    image[0], image[1], image[2], image[3] = [4, 3, 2, 4], [6, 2, 4, 4], [3, 5, 3, 7], [6, 1, 9, 8]
    np.testing.assert_array_equal(conv(image, MASK), [[34, 38], [44, 46]])
    matrix = F.conv_matrix(MASK, (4, 4))
    np.testing.assert_array_equal(matrix @ image.ravel(), [34, 38, 44, 46])
    small = np.array([[2.0, 3.0], [1.0, 0.0]])
    np.testing.assert_array_equal((matrix.T @ small.ravel()).reshape(4, 4), transposed(small, MASK))


def test_convolution_of_a_shifted_image_is_the_shifted_convolution():
    x = np.random.default_rng(9).integers(0, 10, (9, 9)).astype(float)
    shifted = np.roll(x, (2, 3), (0, 1))
    np.testing.assert_array_equal(
        conv(shifted, MASK, padding=1, border="circular"),
        np.roll(conv(x, MASK, padding=1, border="circular"), (2, 3), (0, 1)),
    )


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    ("shape", "weight", "options"),
    [
        ((6,), (3,), {"stride": 2, "padding": 1}),
        ((3, 5), (4, 3, 2), {"padding": 1, "dilation": 2}),
        ((4, 5), (2, 3), {"padding": 2}),
        ((4, 4, 5), (6, 2, 2, 3), {"groups": 2, "stride": (1, 2)}),
        ((1, 2, 3, 3), (2, 1, 2, 2, 2), {"padding": 1}),
    ],
    ids=["signal", "channels", "one_channel", "groups", "volume"],
)
def test_conv_matrix(shape, weight, options, border):
    rng = np.random.default_rng(10)
    w = integers(rng, *weight, dtype=np.float64)
    rank = len(weight) if len(weight) == len(shape) else len(weight) - 2
    x = integers(rng, *shape, dtype=np.float64)
    m = F.conv_matrix(w, shape, border=border, **options)
    w4 = w if len(weight) > rank else w[None, None]
    x4 = x if len(shape) > rank else x[None]
    y = CONV[rank](x4, w4, **options, border=border)
    np.testing.assert_array_equal(m @ x.ravel(), y.ravel())


def test_conv_matrix_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="conv_matrix: shape"):
        F.conv_matrix(MASK, (2, 3, 4, 5))
    with pytest.raises(ValueError, match="conv_matrix: shape must have the weight's 4 channels"):
        F.conv_matrix(np.ones((6, 2, 2, 3)), (5, 4, 5), groups=2)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 0},
        {"padding": -7},
        {"padding": "none"},
        {"padding": 9, "border": "reflect"},
        {"dilation": (1, 2, 3)},
        {"groups": 4},
        {"groups": 2.5},
        {"border": "mirror"},
    ],
    ids=str,
)
def test_conv_matrix_is_named_in_its_errors(options):
    with pytest.raises((ValueError, TypeError), match=r"^conv_matrix: "):
        F.conv_matrix(np.ones((6, 2, 2, 3)), (4, 4, 5), **{"groups": 2, **options})

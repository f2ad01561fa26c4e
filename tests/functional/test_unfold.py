"""Unfold and fold against the definition, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import conv as reference

import tenfold
from tenfold import functional as F

BORDERS = ["constant", "reflect", "symmetric", "replicate", "circular"]
# reason: size, kernel, stride, pads, dilation
GEOMETRIES = {
    "image": ((7, 11), (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "everything": ((7, 11), (3, 2), (2, 3), ((1, 2), (3, 1)), (2, 3)),
    "signal": ((23,), (4,), (2,), ((1, 2),), (3,)),
    "volume": ((4, 3, 5), (2, 3, 2), (1, 2, 1), ((1, 0), (1, 1), (0, 2)), (1, 1, 2)),
}


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_unfold_and_fold_equal_the_definition(name, border, isa):
    size, kernel, stride, pads, dilation = GEOMETRIES[name]
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, (2, 3, *size)).astype(np.float32)
    options = {"dilation": dilation, "padding": pads, "stride": stride, "border": border}
    y, pull = tenfold.vjp(lambda x: F.unfold(x, kernel, border_value=3.0, **options), x)
    np.testing.assert_array_equal(y, reference.unfold(x, kernel, stride, pads, dilation, border, 3.0))
    c = rng.integers(-9, 10, y.shape).astype(np.float32)
    expected = reference.fold(c, size, kernel, stride, pads, dilation, border)
    np.testing.assert_array_equal(pull(c)[0], expected)
    folded, pull = tenfold.vjp(lambda c: F.fold(c, size, kernel, **options), c)
    np.testing.assert_array_equal(folded, expected)
    np.testing.assert_array_equal(pull(x)[0], reference.unfold(x, kernel, stride, pads, dilation, border))


@given(
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pads=st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2),
    border=st.sampled_from(BORDERS),
)
@settings(deadline=None, max_examples=40, derandomize=True)
def test_fold_is_the_transpose_of_unfold(size, kernel, stride, pads, border):
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, (2, 3, *size)).astype(np.float64)
    y = F.unfold(x, kernel, padding=pads, stride=stride, border=border)
    c = rng.integers(-9, 10, y.shape).astype(np.float64)
    assert np.vdot(y, c) == np.vdot(x, F.fold(c, size, kernel, padding=pads, stride=stride, border=border))


def test_convolution_is_a_product_with_unfold():
    rng = np.random.default_rng(1)
    x, w = rng.integers(-4, 5, (2, 3, 7, 11)).astype(float), rng.integers(-4, 5, (5, 3, 3, 2)).astype(float)
    np.testing.assert_array_equal(
        (w.reshape(5, -1) @ F.unfold(x, (3, 2))).reshape(2, 5, 5, 10), F.conv2d(x, w)
    )


def test_unbatched_and_empty():
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(F.unfold(x, (2, 2)), F.unfold(x[None], (2, 2))[0])
    c = F.unfold(x, (2, 2))
    np.testing.assert_array_equal(F.fold(c, (3, 4), (2, 2)), F.fold(c[None], (3, 4), (2, 2))[0])
    assert F.unfold(np.ones((0, 3, 5, 5)), 2).shape == (0, 12, 16)


X = np.ones((2, 3, 7, 11), np.float32)
BAD = {
    "kernel": (lambda: F.unfold(X, 0), ValueError, "unfold: kernel_size must be positive"),
    "kernel_too_large": (lambda: F.unfold(X, 8), ValueError, "unfold: kernel_size must fit the padded input"),
    "stride": (lambda: F.unfold(X, 2, stride=0), ValueError, "unfold: stride must be positive"),
    "rank": (lambda: F.unfold(X[0, 0], 2), ValueError, "unfold: input must have shape"),
    "integers": (lambda: F.unfold(X.astype(int), 2), TypeError, "unfold: input must be a float32 or float64"),
    "rows": (lambda: F.fold(X[0], (7, 11), 2), ValueError, "fold: input must have a multiple of 4"),
    "columns": (lambda: F.fold(np.ones((1, 4, 59)), (7, 11), 2), ValueError, "fold: input must have 60 columns"),
    "rank_of_columns": (lambda: F.fold(X, (7, 11), 2), ValueError, "fold: input must have shape"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    call, error, text = BAD[case]
    with pytest.raises(error, match=text):
        call()

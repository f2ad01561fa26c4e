"""pad: every border, every form of the argument, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gradcheck import check_gradients
from tests.reference import shape as reference

import tenfold
from tenfold import functional as F

BORDERS = ["constant", "reflect", "symmetric", "replicate", "circular"]


def numbers(shape, dtype=np.float64):
    return np.arange(1, 1 + np.prod(shape, dtype=int), dtype=dtype).reshape(shape)


def check(x, pairs, border):
    expected = reference.pad(x, pairs, border)
    y, pull = tenfold.vjp(lambda v: F.pad(v, pairs, border=border), x)
    np.testing.assert_array_equal(y, expected)
    dy = numbers(expected.shape, x.dtype)
    (dx,) = pull(dy)
    made_up = reference.moved_gradient(lambda v: reference.pad(v, pairs, border, -1), x, dy)
    np.testing.assert_array_equal(dx, made_up)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "pairs",
    [
        [(0, 0), (0, 0), (1, 2), (3, 0)],
        [(0, 0), (0, 0), (0, 0), (0, 1)],
        [(1, 1), (2, 0), (4, 4), (6, 6)],
        [(0, 0), (2, 1), (0, 0), (0, 0)],
    ],
    ids=["image", "one_side", "all_axes", "channels"],
)
def test_pad(pairs, dtype, border):
    check(numbers((2, 3, 5, 7), dtype), pairs, border)


@pytest.mark.parametrize("border", ["symmetric", "replicate", "circular", "constant"])
def test_pads_larger_than_the_input(border):
    check(numbers((1, 2, 3)), [(3, 5), (4, 7), (11, 2)], border)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pad_drawn(data):
    border = data.draw(st.sampled_from(BORDERS))
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple))
    most = [n - 1 if border == "reflect" else 6 for n in shape]
    pairs = [(data.draw(st.integers(0, m)), data.draw(st.integers(0, m))) for m in most]
    check(numbers(shape), pairs, border)


def test_the_flat_form_is_torchs_last_axis_first():
    x = numbers((2, 3, 5))
    np.testing.assert_array_equal(F.pad(x, (1, 2)), np.pad(x, [(0, 0), (0, 0), (1, 2)]))
    np.testing.assert_array_equal(F.pad(x, (1, 2, 3, 4)), np.pad(x, [(0, 0), (3, 4), (1, 2)]))
    np.testing.assert_array_equal(F.pad(x, (1, 2, 3, 4, 5, 6)), np.pad(x, [(5, 6), (3, 4), (1, 2)]))


def test_an_int_pads_the_spatial_axes():
    x = numbers((2, 3, 5, 7))
    np.testing.assert_array_equal(F.pad(x, 2), np.pad(x, [(0, 0), (0, 0), (2, 2), (2, 2)]))


def test_pairs_are_numpys_in_the_order_of_the_axes():
    x = numbers((2, 3, 5, 7))
    np.testing.assert_array_equal(F.pad(x, [(1, 0), (0, 2)]), np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 2)]))


def test_negative_pads_crop():
    x = numbers((2, 3, 5))
    np.testing.assert_array_equal(F.pad(x, (-1, 2, 3, -2)), np.pad(x[:, :1, 1:], [(0, 0), (3, 0), (0, 2)]))
    check_gradients(lambda v: F.pad(v, (-1, 2, 3, -2)), x)


def test_the_constant_has_several_names():
    x = numbers((2, 3))
    expected = np.pad(x, [(0, 0), (1, 1)], constant_values=2.5)
    np.testing.assert_array_equal(F.pad(x, (1, 1), "constant", 2.5), expected)
    np.testing.assert_array_equal(F.pad(x, (1, 1), value=2.5), expected)
    np.testing.assert_array_equal(F.pad(x, (1, 1), border="constant", border_value=2.5), expected)


def test_empty_batches_and_nothing_to_pad():
    assert F.pad(np.zeros((0, 3, 5)), (1, 2)).shape == (0, 3, 8)
    x = numbers((2, 3))
    np.testing.assert_array_equal(F.pad(x, (0, 0)), x)


def test_threads_agree(threads):
    x = numbers((32, 4, 33, 31), np.float32)
    np.testing.assert_array_equal(
        F.pad(x, 5, border="reflect"), np.pad(x, [(0, 0), (0, 0), (5, 5), (5, 5)], "reflect")
    )


X = numbers((2, 3, 5))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: F.pad(X, (5, 0), border="reflect"),
            ValueError,
            r"pad: padding must be smaller than the input",
        ),
        (lambda: F.pad(X, (1, 2, 3)), ValueError, r"pad: pad must have an even number of entries"),
        (
            lambda: F.pad(X, (1,) * 8),
            ValueError,
            r"pad: pad must have at most a pair per axis of the input, 3",
        ),
        (lambda: F.pad(X, (1, 1), "mirror"), ValueError, r"pad: mode must be one of .* received 'mirror'"),
        (
            lambda: F.pad(X, (1, 1), border="valid"),
            ValueError,
            r"pad: border must be one of .* received 'valid'",
        ),
        (
            lambda: F.pad(X, (-1, 1), border="circular"),
            ValueError,
            r"pad: pad must be non-negative when border",
        ),
        (lambda: F.pad(X, (-4, -2)), ValueError, r"pad: pad must not crop more than there is"),
        (lambda: F.pad(X, (1.5, 1)), TypeError, r"pad: pad must be an int; received 1.5"),
        (lambda: F.pad(X[0], 1), ValueError, r"pad: pad may be an int only for inputs \(N, C, ...\)"),
        (lambda: F.pad(X, [(1, 2, 3)]), ValueError, r"pad: pad must have \(before, after\) pairs"),
        (
            lambda: F.pad(X, (2**31, 2**31, 2**31, 2**31)),
            ValueError,
            r"pad: output must have at most 2\^48 elements",
        ),
        (lambda: F.pad(X[:0], (1, 1) * 3, border="replicate"), ValueError, r"pad: input must not be empty"),
        (
            lambda: F.pad(X.astype(np.int32), (1, 1)),
            TypeError,
            r"pad: input must be a float32, float64 or int64 array",
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()

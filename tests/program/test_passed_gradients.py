"""A gradient that is another one is handed through without a copy, and nobody sees that."""

import numpy as np
import pytest

import tenfold
from tenfold import functional as F


def with_itself(v, times):
    return times * v + v


def two_blocks(v):
    w = with_itself(v, 3)
    return with_itself(w, 5) + v


# Functions of a, b of shape (2, 3, 5) and c of shape (3, 1), and how often dy reaches each of them: whole numbers, so
# that every order of additions gives the same.
CASES = {
    "both operands": (lambda a, b, c: a + b, (1, 1, 0)),
    "one operand twice": (lambda a, b, c: a + a, (2, 0, 0)),
    "three times": (lambda a, b, c: a + a + a, (3, 0, 0)),
    "less itself": (lambda a, b, c: a - a, (0, 0, 0)),
    "difference": (lambda a, b, c: a - b, (1, -1, 0)),
    "bias": (lambda a, b, c: a + c, (1, 0, 1)),
    "bias on the left": (lambda a, b, c: c + a, (1, 0, 1)),
    "bias taken away": (lambda a, b, c: c - a, (-1, 0, 1)),
    "bias of an inner value": (lambda a, b, c: 2 * a + c, (2, 0, 1)),
    "residual": (lambda a, b, c: F.relu(3 * a + b) + a, (4, 1, 0)),
    "residual of an inner value": (lambda a, b, c: with_itself(2 * a, 3), (8, 0, 0)),
    "residuals": (lambda a, b, c: two_blocks(2 * a), (50, 0, 0)),
    "sum and product": (lambda a, b, c: with_itself(a + b, 2) + b, (3, 4, 0)),
    "view": (lambda a, b, c: (F.flatten(a + b) + F.flatten(a)).reshape(2, 3, 5), (2, 1, 0)),
    "view used twice": (lambda a, b, c: with_itself((a + c).reshape(6, 5), 2).reshape(2, 3, 5), (3, 0, 3)),
    "input": (lambda a, b, c: a, (1, 0, 0)),
}  # fmt: skip


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [rng.integers(1, 9, shape).astype(np.float32) for shape in ((2, 3, 5), (2, 3, 5), (3, 1))]


def gradients(times, dy):
    a, b, c = times
    return a * dy, b * dy, c * dy.sum(axis=(0, 2)).reshape(3, 1)


@pytest.mark.parametrize("name", CASES)
def test_every_way_of_adding(name, arrays, threads):
    function, times = CASES[name]
    _, pull = tenfold.vjp(function, *arrays)
    dy = np.random.default_rng(1).integers(-9, 9, (2, 3, 5)).astype(np.float32)
    given = dy.copy()
    for _ in range(2):  # backward may be repeated
        found = pull(dy)
        for gradient, expected in zip(found, gradients(times, given), strict=True):
            np.testing.assert_array_equal(gradient, expected)
            assert not np.shares_memory(gradient, dy)
        assert np.array_equal(dy, given)


def test_the_gradient_of_an_output_that_others_use(arrays):
    def function(a, b, c):
        v = a + b
        return v, 2 * v + c, v

    _, pull = tenfold.vjp(function, *arrays)
    first, second, third = (np.full((2, 3, 5), value, np.float32) for value in (1, 10, 100))
    da, db, dc = pull((first, second, third))
    assert np.all(da == 121)
    assert np.all(db == 121)
    assert np.all(dc == 100)
    assert (first[0, 0, 0], second[0, 0, 0], third[0, 0, 0]) == (1, 10, 100)


@pytest.mark.parametrize("shape", [(64, 16, 96, 96), (3, 5, 7, 9), (4, 1, 2, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_a_bias_is_summed_along_with_the_copy(shape, dtype, isa, threads):
    """The largest one leaves past the caches."""
    rng = np.random.default_rng(2)
    x, dy = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    bias = rng.normal(size=(shape[1], 1, 1)).astype(dtype)
    _, pull = tenfold.vjp(F.add, x, bias)
    dx, db = pull(dy)
    np.testing.assert_array_equal(dx, dy)
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    exact = dy.sum(axis=(0, 2, 3), dtype=np.float64)
    scale = np.abs(dy).sum(axis=(0, 2, 3), dtype=np.float64)
    assert np.all(np.abs(db.ravel() - exact) <= tolerance * scale)

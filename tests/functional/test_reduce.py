"""Reductions over axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.gradcheck import check_gradients
from tests.reference import elementwise as reference
from tests.tolerance import assert_close

import tenfold
from tenfold import functional as F

KINDS = ["sum", "mean", "max", "min"]
CASES: list[tuple[tuple[int, ...], Any]] = [
    ((), None),
    ((1,), 0),
    ((5,), ()),
    ((7,), None),
    ((63,), 0),
    ((64,), 0),
    ((65,), 0),
    ((257,), None),
    ((2, 3), -1),
    ((2, 3, 5, 7), None),
    ((2, 3, 5, 7), 0),
    ((2, 3, 5, 7), 1),
    ((2, 3, 5, 7), (2, 3)),
    ((2, 3, 5, 7), (0, 2, 3)),
    ((2, 3, 5, 7), (0, 2)),
    ((2, 3, 5, 7), (1, -1)),
    ((2, 1, 5, 1), (1, 2)),
    ((300, 33), 0),
    ((9000, 3), 0),
    ((3, 9000), 1),
    ((20_000,), 0),
    ((2, 2100), 0),
    ((3, 700, 5, 11), (1, 3)),
    ((40, 3, 9, 31), (0, 2, 3)),
    ((1500, 9), 1),
    ((30, 500, 4), (0, 2)),
    ((50, 4, 300, 3), (1, 3)),
    ((600, 2, 7), (0, 1)),
]
IDS = [f"{s}_{a}".replace(" ", "") for s, a in CASES]


def expected_of(kind: str, x: Any, axis: Any, keepdims: bool) -> Any:
    return getattr(np, kind)(x, axis=axis, keepdims=keepdims)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "axis"), CASES, ids=IDS)
def test_value_and_gradient_agree_with_reference(shape: Any, axis: Any, dtype: Any, isa: str) -> None:
    # Small integers: every order of summation is exact, and ties are many.
    x = np.asarray(np.random.default_rng(0).integers(-4, 5, shape), dtype)
    for kind in KINDS:
        f = getattr(F, kind)
        for keepdims in (False, True):
            y, pull = tenfold.vjp(lambda v, f=f, k=keepdims: f(v, axis, k), x)
            assert y.dtype == dtype
            expected = np.asarray(expected_of(kind, x.astype(np.float64), axis, keepdims))
            assert y.shape == expected.shape
            np.testing.assert_array_equal(y, expected.astype(dtype))
            dy = np.asarray(np.random.default_rng(1).integers(-4, 5, y.shape), dtype)
            kept = np.shape(expected_of(kind, x, axis, True))
            dx = reference.reduce_gradient(kind, x, axis, dy.reshape(kept).astype(np.float64))
            np.testing.assert_array_equal(pull(dy)[0], dx.astype(dtype))


@pytest.mark.parametrize(("shape", "axis"), CASES, ids=IDS)
def test_sum_of_real_numbers(shape: Any, axis: Any, isa: str) -> None:
    x = np.asarray(np.random.default_rng(0).uniform(0.1, 1, shape), np.float32)
    expected = x.astype(np.float64).sum(axis=axis)
    assert_close(F.sum(x, axis), expected, terms=x.size // np.size(expected))


def test_long_sums_stay_accurate(isa: str) -> None:
    """Pieces are added pairwise: a million terms are off by a few units, not by thousands."""
    x = np.full(2**20 + 3, 0.1, np.float32)
    exact = float(np.float32(0.1)) * len(x)
    assert abs(float(F.sum(x)) / exact - 1) < 1e-5
    columns = np.full((2**18 + 3, 5), 0.1, np.float32)
    np.testing.assert_allclose(F.sum(columns, 0), float(np.float32(0.1)) * len(columns), rtol=1e-5)


@pytest.mark.parametrize("kind", ["sum", "mean", "max"])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((400_003,), 0),
        ((700, 301), 0),
        ((700, 301), 1),
        ((40, 7, 30, 31), (0, 2, 3)),
        ((9001, 10), 1),
        ((60, 70, 16), (0, 2)),
    ],
    ids=str,
)
def test_same_bits_at_every_thread_count(kind: str, shape: Any, axis: Any) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    before = tenfold.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            tenfold.set_num_threads(threads)
            y, pull = tenfold.vjp(lambda v: getattr(F, kind)(v, axis), x)
            results.append((y, pull(y)[0]))
    finally:
        tenfold.set_num_threads(before)
    for y, dx in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_agrees_with_central_differences(kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5))
    for axis in (None, 1, (0, 2)):
        check_gradients(lambda v, a=axis: getattr(F, kind)(v, a), x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", [0, 5, 40, 99])
def test_nan_passes_and_takes_the_gradient(kind: str, position: int, isa: str) -> None:
    x = np.random.default_rng(0).normal(size=100)
    x[position] = np.nan
    y, pull = tenfold.vjp(getattr(F, kind), x)
    assert np.isnan(y)
    assert np.isnan(getattr(F, kind)(np.stack([x, x], axis=1), 0)).all()
    if kind in ("max", "min"):
        (dx,) = pull(np.array(1.0))
        assert np.flatnonzero(dx).tolist() == [position]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["max", "min"])
def test_extremes_of_rows_of_any_length(kind: str, dtype: Any, isa: str) -> None:
    rng = np.random.default_rng(0)
    for length in range(1, 70):
        x = rng.standard_normal((20, length)).astype(dtype)
        for odd, share in ((0, 0), (np.nan, 0.02), (np.inf, 0.02), (-np.inf, 0.5)):
            x[rng.random(x.shape) < share] = odd
            np.testing.assert_array_equal(getattr(F, kind)(x, 1), getattr(np, kind)(x, 1))


def test_infinities() -> None:
    x = np.array([1.0, -np.inf, np.inf])
    assert F.max(x) == np.inf
    assert F.min(x) == -np.inf
    assert np.isnan(F.sum(x))


def test_empty() -> None:
    assert F.sum(np.zeros((0, 3), np.float32)).shape == ()
    np.testing.assert_array_equal(F.sum(np.zeros((0, 3)), 0), np.zeros(3))
    assert F.sum(np.zeros((0, 3)), 1).shape == (0,)
    assert np.isnan(F.mean(np.zeros((0, 3)), 0)).all()
    assert F.max(np.zeros((0, 3)), 1).shape == (0,)
    _, pull = tenfold.vjp(lambda x: F.sum(x, 0), np.zeros((0, 3)))
    assert pull(np.ones(3))[0].shape == (0, 3)


def test_mean_of_equal_numbers_is_that_number() -> None:
    for n in (3, 7, 10):
        assert F.mean(np.full(n, 2.0, np.float32)) == 2.0
    assert math.isclose(float(F.mean(np.full(10, 0.1))), 0.1, rel_tol=1e-15)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: F.sum(np.ones((2, 3)), 2), ValueError,
         r"sum: axis must be from -2 to 1 for an input of shape \(2, 3\); received 2"),
        (lambda: F.mean(np.ones((2, 3)), (0, -2)), ValueError, r"mean: axis must not name an axis twice"),
        (lambda: F.max(np.ones((2, 0)), 1), ValueError, r"max: input must have an element to choose from"),
        (lambda: F.min(np.ones(0)), ValueError, r"min: input must have an element to choose from"),
        (lambda: F.sum(np.ones(3), 0.0), TypeError,
         r"sum: axis must be None, an int or a tuple of ints; received 0\.0"),
        (lambda: F.sum(np.ones(3), (True,)), TypeError, r"sum: axis must be an int; received True"),
        (lambda: F.sum(np.ones(3, int)), TypeError,
         r"sum: input must be a float32 or float64 array; received dtype int64"),
    ],
)  # fmt: skip
def test_errors_name_function_argument_and_rule(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()

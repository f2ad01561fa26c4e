"""Arithmetic with broadcasting, and the operators of symbols and variables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.gradcheck import check_gradients
from tests.reference import elementwise as reference
from tests.tolerance import assert_close

import tenfold
from tenfold import functional as F
from tenfold.nn import Parameter

BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "pow"]
SHAPES = [
    ((), ()),
    ((7,), ()),
    ((1,), (5,)),
    ((2, 3), (3,)),
    ((2, 3, 5), (3, 1)),
    ((2, 1, 5), (3, 1)),
    ((2, 3, 5, 7), (1, 3, 1, 1)),
    ((2, 3, 5, 7), (2, 3, 5, 7)),
    ((1, 3, 1, 7), (2, 1, 5, 1)),
    ((2, 3, 17), (2, 1, 17)),
    ((3, 9001), (3, 1)),
    ((700, 33), (33,)),
    ((1500, 3), (3,)),
    ((1500, 3), (1500, 1)),
    ((40, 30, 2, 2), (30, 1, 1)),
    ((9, 1, 8, 1, 5), (1, 11, 1, 3, 5)),
    ((70, 63), (63,)),
    ((70, 63), (70, 1)),
    ((70, 64), (64,)),
    ((70, 64), (70, 1)),
    ((0, 3), (3,)),
    ((2, 0, 3), (1, 1)),
    ((0,), (1,)),
]


def operands(shapes: Any, dtype: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    first, second = (np.asarray(rng.uniform(0.5, 3, shape), dtype) for shape in shapes)
    return first, second


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", BINARY)
def test_value_and_gradients_agree_with_reference(kind: str, dtype: Any, isa: str) -> None:
    for shapes in SHAPES:
        for a, b in (operands(shapes, dtype), operands(shapes[::-1], dtype)):
            y, pull = tenfold.vjp(getattr(F, kind), a, b)
            assert y.dtype == dtype
            a64, b64 = a.astype(np.float64), b.astype(np.float64)
            assert_close(y, reference.BINARY[kind][0](a64, b64))
            dy = np.asarray(np.random.default_rng(4).normal(size=y.shape), dtype)
            expected = reference.binary_gradients(kind, a64, b64, dy.astype(np.float64))
            for d, e, x in zip(pull(dy), expected, (a, b), strict=True):
                terms = 16 * max(1, y.size // max(x.size, 1))
                assert_close(d, e, terms=terms, scale=float(np.abs(e).max(initial=1)))


@pytest.mark.parametrize("kind", BINARY)
def test_gradients_agree_with_central_differences(kind: str) -> None:
    a, b = operands(((2, 3, 5), (3, 1)), np.float64)
    check_gradients(getattr(F, kind), a, b)
    check_gradients(getattr(F, kind), b, a)


@pytest.mark.parametrize("kind", BINARY)
@pytest.mark.parametrize(
    "shapes",
    [
        ((300, 500), (500,)),
        ((300, 500), (300, 1)),
        ((150_001,), ()),
        ((9001, 10), (10,)),
        ((9001, 10), (9001, 1)),
        ((60, 70, 4, 4), (70, 1, 1)),
    ],
    ids=str,
)
def test_same_bits_at_every_thread_count(kind: str, shapes: Any) -> None:
    a, b = operands(shapes, np.float32)
    before = tenfold.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            tenfold.set_num_threads(threads)
            y, pull = tenfold.vjp(getattr(F, kind), a, b)
            results.append([y, *pull(y)])
    finally:
        tenfold.set_num_threads(before)
    for result in results[1:]:
        for found, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_an_operand_used_twice() -> None:
    x = np.array([1.0, -2.0, 3.0])
    y, pull = tenfold.vjp(lambda v: v + v, x)
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(pull(np.ones(3))[0], [2, 2, 2])
    _, pull = tenfold.vjp(lambda v: v * v, x)
    np.testing.assert_array_equal(pull(np.ones(3))[0], 2 * x)


def test_ties_and_nan_of_maximum_and_minimum(isa: str) -> None:
    a, b = np.array([1.0, np.nan, 2.0, 3.0]), np.array([1.0, 5.0, np.nan, 4.0])
    y, pull = tenfold.vjp(F.maximum, a, b)
    np.testing.assert_array_equal(y, [1, np.nan, np.nan, 4])
    da, db = pull(np.array([1.0, 2.0, 4.0, 8.0]))
    np.testing.assert_array_equal(da, [1, 2, 0, 0])
    np.testing.assert_array_equal(db, [0, 0, 4, 8])
    y, pull = tenfold.vjp(F.minimum, a, b)
    np.testing.assert_array_equal(y, [1, np.nan, np.nan, 3])
    np.testing.assert_array_equal(pull(np.ones(4))[0], [1, 1, 0, 1])


def test_pow_at_zero() -> None:
    y, pull = tenfold.vjp(F.pow, np.array([0.0, 0.0]), np.array([0.0, 2.0]))
    np.testing.assert_array_equal(y, [1, 0])
    da, db = pull(np.ones(2))
    np.testing.assert_array_equal(da, [0, 0])
    np.testing.assert_array_equal(db, [0, 0])


@pytest.mark.parametrize("number", [3, 2.5, np.float64(2.5), np.int32(2), np.float32(2)], ids=repr)
@pytest.mark.parametrize("kind", BINARY)
def test_a_number_takes_the_dtype_of_the_array(kind: str, number: Any) -> None:
    x = np.array([1.5, 2.0, 4.0], np.float32)
    f, exact = getattr(F, kind), reference.BINARY[kind][0]
    for y, expected in ((f(x, number), exact(x, float(number))), (f(number, x), exact(float(number), x))):
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, rtol=3e-7)


OPERATORS: dict[str, Any] = {
    "add": lambda x: x + 2 + x,
    "radd": lambda x: 2 + x,
    "array_first": lambda x: np.full((3, 5), 2.0) + x,
    "sub": lambda x: x - 0.5,
    "rsub": lambda x: 1 - x,
    "mul": lambda x: x * 3 * x,
    "rmul": lambda x: np.arange(5.0) * x,
    "div": lambda x: x / 4,
    "rdiv": lambda x: 1 / x,
    "pow": lambda x: x**2 + x**0.5 + x**-1.0,
    "rpow": lambda x: 2**x,
    "array_power": lambda x: x**x,
    "neg": lambda x: -x,
    "pos": lambda x: +x * 2,
    "abs": lambda x: abs(x - 1.25),
    "matmul": lambda x: x @ x.T,
    "rmatmul": lambda x: np.ones((2, 3)) @ x,
    "sum": lambda x: x.sum(axis=1, keepdims=True) * x.sum(0),
    "mean": lambda x: x.mean() + x.mean(axis=0),
    "max": lambda x: x.max(axis=-1) - x.min(axis=-1),
    "reshape": lambda x: x.reshape(5, 3) * x.reshape((5, -1)),
    "transpose": lambda x: x.transpose() + x.transpose(1, 0) + x.transpose((1, 0)),
    "getitem": lambda x: x[1:, ::2] * x[0, 0],
    "flatten": lambda x: x.flatten()[3:],
    "composed": lambda x: ((2 * x - 1) / (x**2 + 1)).sum() - (-x).mean(),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_mean_what_they_mean_on_arrays(name: str) -> None:
    f = OPERATORS[name]
    x = np.random.default_rng(0).uniform(0.5, 2, (3, 5))
    y, _ = tenfold.vjp(f, x)
    np.testing.assert_allclose(y, f(x), rtol=1e-13)
    check_gradients(f, x)


def test_operators_on_parameters() -> None:
    w = Parameter(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32))
    assert w.T.shape == (2, 2)
    np.testing.assert_array_equal(w * 2 + 1, [[3, 5], [7, 9]])
    np.testing.assert_array_equal(np.ones((1, 2), np.float32) @ w, [[4, 6]])
    np.testing.assert_array_equal((w**2).sum(axis=0), [10, 20])
    np.testing.assert_array_equal(w[1], [3, 4])
    assert (w * 2).dtype == np.float32


FLOATING = r"must be a float32 or float64 array; received"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: F.add(np.ones((2, 3)), np.ones(2)), ValueError,
         r"add: other must have a shape that broadcasts .* \(2, 3\) and \(2,?\)"),
        (lambda: F.mul(np.ones(2), np.ones(2, np.float32)), TypeError,
         r"mul: other must have the dtype of input, float64; received float32"),
        (lambda: F.div(np.ones(2), np.ones(2, int)), TypeError, rf"div: other {FLOATING} dtype int64"),
        (lambda: F.sub(1.0, 2.0), TypeError, rf"sub: input {FLOATING} float"),
        (lambda: F.add(np.ones(2), "1"), TypeError, rf"add: other {FLOATING} str"),
        (lambda: F.add(np.ones(2), True), TypeError, rf"add: other {FLOATING} bool"),
        (lambda: [1.0, 2.0] * Parameter(np.ones(2)), TypeError, rf"mul: input {FLOATING} list"),
    ],
)  # fmt: skip
def test_errors_name_function_argument_and_rule(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()

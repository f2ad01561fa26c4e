"""Functions of one variable: values, gradients, accuracy, limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.gradcheck import check_gradients
from tests.reference import elementwise as reference
from tests.tolerance import assert_close, ulp_error

import tenfold
from tenfold import functional as F

# id: (function, reference, whether the argument must be positive)
FUNCTIONS: dict[str, tuple[Any, reference.Pair, bool]] = {
    "relu": (F.relu, reference.relu(), False),
    "relu_at_zero_0": (lambda x: F.relu(x, at_zero=0), reference.relu(0), False),
    "leaky_relu": (F.leaky_relu, reference.leaky_relu(), False),
    "leaky_relu_negative_slope": (lambda x: F.leaky_relu(x, -0.5), reference.leaky_relu(-0.5), False),
    "elu": (F.elu, reference.elu(), False),
    "elu_negative_alpha": (lambda x: F.elu(x, -0.7), reference.elu(-0.7), False),
    "gelu": (F.gelu, reference.gelu(), False),
    "gelu_tanh": (lambda x: F.gelu(x, "tanh"), reference.gelu_tanh(), False),
    "silu": (F.silu, reference.SILU, False),
    "sigmoid": (F.sigmoid, reference.SIGMOID, False),
    "tanh": (F.tanh, reference.TANH, False),
    "softplus": (F.softplus, reference.softplus(), False),
    "softplus_beta": (lambda x: F.softplus(x, 3.0, 2.0), reference.softplus(3.0, 2.0), False),
    "exp": (F.exp, reference.EXP, False),
    "log": (F.log, reference.LOG, True),
    "sqrt": (F.sqrt, reference.SQRT, True),
    "abs": (F.abs, reference.ABS, False),
    "neg": (F.neg, reference.NEG, False),
    "square": (F.square, reference.SQUARE, False),
    "cube": (lambda x: F.pow(x, 3), reference.power(3), False),
    "power": (lambda x: F.pow(x, 1.7), reference.power(1.7), True),
    "power_0": (lambda x: F.pow(x, 0), reference.power(0), False),
    "reciprocal": (F.reciprocal, reference.RECIPROCAL, True),
    "clip": (lambda x: F.clip(x, -1, 1.5), reference.clip(-1, 1.5), False),
    "clip_above": (lambda x: F.clip(x, max=0.5), reference.clip(-np.inf, 0.5), False),
    "sin": (F.sin, reference.SIN, False),
    "cos": (F.cos, reference.COS, False),
}
# Below, at and above one and four vectors of every ISA (4, 8 and 16 floats; 2, 4 and 8 doubles).
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65]


def argument(size: int, positive: bool, dtype: Any) -> Any:
    x = np.random.default_rng(size).normal(scale=2, size=size)
    if size > 2 and not positive:
        x[size // 2] = 0
    return (np.abs(x) + 0.1 if positive else x).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_gradient_agree_with_reference(name: str, dtype: Any, isa: str) -> None:
    f, (value, slope), positive = FUNCTIONS[name]
    for size in SIZES:
        x = argument(size, positive, dtype)
        exact = x.astype(np.float64)
        y, pull = tenfold.vjp(f, x)
        assert y.dtype == dtype
        assert_close(y, value(exact), terms=4)
        dy = np.random.default_rng(1).normal(size=size).astype(dtype)
        (dx,) = pull(dy)
        assert dx.dtype == dtype
        assert_close(dx, dy.astype(np.float64) * slope(exact), terms=4)
        np.testing.assert_array_equal(y, f(x))  # recorded and at once: the same bits


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient_agrees_with_central_differences(name: str) -> None:
    f, _, positive = FUNCTIONS[name]
    x = argument(11, positive, np.float64)
    check_gradients(f, x[x != 0])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_bits_at_every_thread_count(name: str) -> None:
    f, _, positive = FUNCTIONS[name]
    x = argument(130_001, positive, np.float32)
    before = tenfold.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            tenfold.set_num_threads(threads)
            y, pull = tenfold.vjp(f, x)
            results.append((y, pull(x)[0]))
    finally:
        tenfold.set_num_threads(before)
    for y, dx in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])


def every_float(step: int, offset: int = 0) -> Any:
    """Return every step-th float32, infinities and NaN included; denormals as zero."""
    x = np.arange(offset, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, np.float32(0), x)


# (function, exact value in higher precision, largest allowed error in ULP)
ACCURATE: dict[str, tuple[Any, Any, float]] = {
    "exp": (F.exp, np.exp, 1.2),
    "log": (F.log, np.log, 1.0),
    "tanh": (F.tanh, np.tanh, 2.6),
    "sigmoid": (F.sigmoid, lambda x: np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x))), 2.5),
    "elu": (F.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), 2.0),
    "softplus": (F.softplus, lambda x: np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 21)))), 2.2),
    "sqrt": (F.sqrt, np.sqrt, 0.5),
    "reciprocal": (F.reciprocal, np.reciprocal, 0.51),
}


def largest_error(name: str, x: Any, precise: Any) -> float:
    f, exact, _ = ACCURATE[name]
    with np.errstate(all="ignore"):
        expected = exact(x.astype(precise))
    return float(np.max(ulp_error(f(x), expected)))


@pytest.mark.parametrize("name", ACCURATE)
def test_float32_accuracy_over_the_whole_range(name: str, isa: str) -> None:
    # A prime step meets all exponents and signs: 2^32 / 40009 is 209 numbers per exponent and sign.
    near = np.random.default_rng(0).uniform(-20, 20, 50_000).astype(np.float32)
    x = np.concatenate([every_float(40009), near, np.array([np.inf, -np.inf, np.nan, 0, -0.0], np.float32)])
    assert largest_error(name, x, np.float64) <= ACCURATE[name][2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "log"])
def test_float32_accuracy_of_every_float(name: str, isa: str) -> None:
    for offset in range(64):
        assert largest_error(name, every_float(64, offset), np.float64) <= ACCURATE[name][2]


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="needs a long double of more than 53 bits")
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "elu"])
def test_float64_accuracy(name: str, isa: str) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-r, r, 20_000) for r in (1, 40, 700)])
    if name == "log":
        x = np.exp(x)
    assert largest_error(name, x, np.longdouble) <= ACCURATE[name][2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_keeps_its_digits_in_the_far_tail(dtype: Any, isa: str) -> None:
    x = np.array([-1.0, -5.0, -10.0], dtype)
    # x erfc(-x / sqrt 2) / 2 by arithmetic of 30 digits.
    expected = np.array([-0.15865525393145705, -1.4332578593959696e-06, -7.6198530241605261e-23])
    assert np.max(ulp_error(F.gelu(x), expected)) <= 6


INF, NAN = np.inf, np.nan
LIMITS: dict[str, list[tuple[float, float]]] = {
    "relu": [(INF, INF), (-INF, 0), (NAN, NAN)],
    "leaky_relu": [(INF, INF), (-INF, -INF), (NAN, NAN)],
    "elu": [(INF, INF), (-INF, -1), (NAN, NAN), (-200, -1)],
    "gelu": [(INF, INF), (-INF, 0), (NAN, NAN), (1e30, 1e30), (-1e30, 0)],
    "gelu_tanh": [(INF, INF), (-INF, 0), (NAN, NAN), (1e30, 1e30), (-1e30, 0)],
    "silu": [(INF, INF), (-INF, 0), (NAN, NAN), (1e30, 1e30), (-1e30, 0)],
    "sigmoid": [(INF, 1), (-INF, 0), (NAN, NAN), (0, 0.5), (1e30, 1), (-1e30, 0)],
    "tanh": [(INF, 1), (-INF, -1), (NAN, NAN), (0, 0), (1e30, 1), (-1e30, -1)],
    "softplus": [(INF, INF), (-INF, 0), (NAN, NAN), (1e30, 1e30), (-1e30, 0)],
    "exp": [(INF, INF), (-INF, 0), (NAN, NAN), (0, 1), (1e30, INF), (-1e30, 0)],
    "log": [(INF, INF), (0, -INF), (-0.0, -INF), (-1, NAN), (-INF, NAN), (NAN, NAN), (1, 0)],
    "sqrt": [(INF, INF), (-1, NAN), (NAN, NAN), (0, 0)],
    "abs": [(INF, INF), (-INF, INF), (NAN, NAN), (-0.0, 0)],
    "clip": [(INF, 1.5), (-INF, -1), (NAN, NAN)],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LIMITS)
def test_limits(name: str, dtype: Any, isa: str) -> None:
    x = np.array([p[0] for p in LIMITS[name]], dtype)
    y = FUNCTIONS[name][0](x)
    np.testing.assert_array_equal(y, np.array([p[1] for p in LIMITS[name]], dtype))


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus", "elu"])
@pytest.mark.parametrize("x", [-INF, -1e30, 1e30, INF])
def test_gradient_is_finite_at_the_limits(name: str, x: float, isa: str) -> None:
    _, pull = tenfold.vjp(FUNCTIONS[name][0], np.array([x], np.float32))
    expected = 1.0 if x > 0 and name not in ("sigmoid", "tanh") else 0.0
    assert pull(np.ones(1))[0][0] == expected


def test_sign_of_zero_survives_in_odd_functions(isa: str) -> None:
    for f in (F.tanh, F.relu, F.leaky_relu):
        assert np.signbit(f(np.array([-0.0], np.float32)))[0]


def test_relu_derivative_at_zero_is_the_argument() -> None:
    x = np.array([-1.0, -0.0, 0.0, 2.0])
    for at_zero in (0, 0.25, 1):
        _, pull = tenfold.vjp(lambda v, a=at_zero: F.relu(v, at_zero=a), x)
        np.testing.assert_array_equal(pull(np.full(4, 8.0))[0], [0, 8 * at_zero, 8 * at_zero, 8])


def test_sigmoid_is_half_of_one_plus_tanh_of_half(isa: str) -> None:
    """The lecture: sigmoid(z) = (1 + tanh(z / 2)) / 2."""
    z = np.linspace(-30, 30, 10_001)
    np.testing.assert_allclose(F.sigmoid(z), (1 + F.tanh(z / 2)) / 2, rtol=0, atol=4e-16)
    z32 = z.astype(np.float32)
    np.testing.assert_allclose(F.sigmoid(z32), (1 + F.tanh(z32 / 2)) / 2, rtol=0, atol=2e-7)


def test_sigmoid_is_reflected() -> None:
    """The lecture: sigmoid(-z) = 1 - sigmoid(z), and tanh is odd."""
    z = np.linspace(-30, 30, 1001)
    np.testing.assert_allclose(F.sigmoid(-z), 1 - F.sigmoid(z), rtol=0, atol=4e-16)
    np.testing.assert_array_equal(F.tanh(-z), -F.tanh(z))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "exp"])
def test_other_layouts_work(name: str) -> None:
    f = FUNCTIONS[name][0]
    x = np.random.default_rng(0).normal(size=(5, 7, 11))
    expected = f(x)
    assert expected.shape == (5, 7, 11)
    np.testing.assert_array_equal(f(np.asfortranarray(x)), expected)
    np.testing.assert_array_equal(f(np.repeat(x, 2, axis=1)[:, ::2]), expected)
    read_only = x.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(f(read_only), expected)
    assert f(np.array(0.5)).shape == ()
    assert f(np.zeros((0, 3))).shape == (0, 3)


def test_input_is_not_changed() -> None:
    x = np.array([0.5, 2.0])
    for f, _, _ in FUNCTIONS.values():
        f(x)
        tenfold.vjp(f, x)[1](np.ones(2))
    np.testing.assert_array_equal(x, [0.5, 2])


def test_a_chain_keeps_what_its_gradients_need() -> None:
    """Element-wise operations may share memory; every gradient must still see its own numbers."""

    def f(x: Any) -> Any:
        y = F.sigmoid(F.square(F.tanh(F.exp(F.neg(x)))))
        return F.log(F.softplus(F.silu(y) + y))

    check_gradients(f, np.random.default_rng(0).normal(size=(3, 5)))


APPROXIMATE = r"gelu: approximate must be 'none' or 'tanh'; received"
FLOATING = r"must be a float32 or float64 array; received"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: F.sigmoid(np.array([1])), TypeError, rf"sigmoid: input {FLOATING} dtype int64"),
        (lambda: F.exp([1.0]), TypeError, rf"exp: input {FLOATING} list"),
        (lambda: F.tanh(np.array([object()])), TypeError, rf"tanh: input {FLOATING} dtype object"),
        (lambda: F.gelu(np.ones(1), "erf"), ValueError, rf"{APPROXIMATE} 'erf'"),
        (lambda: F.gelu(np.ones(1), True), TypeError, rf"{APPROXIMATE} True"),
        (lambda: F.softplus(np.ones(1), 0), ValueError, r"softplus: beta must be positive; received 0"),
        (lambda: F.elu(np.ones(1), "1"), TypeError, r"elu: alpha must be a number; received '1'"),
        (lambda: F.clip(np.ones(1)), ValueError, r"clip: min or max must be given"),
        (lambda: F.leaky_relu(np.ones(1), None), TypeError, r"leaky_relu: negative_slope must be a number"),
    ],
)  # fmt: skip
def test_errors_name_function_argument_and_rule(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_other_byte_orders_simply_work():
    y = F.relu(np.array([1.0, -2.0], np.dtype(np.float32).newbyteorder("S")))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [1, 0])

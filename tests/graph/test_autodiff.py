"""vjp, value_and_grad and grad: fan-out, unused inputs, views, repeated pull-backs, errors."""

import numpy as np
import pytest

import tenfold
from tenfold import functional as F


class Scale(tenfold.Function):
    """y = 3 x, in NumPy."""

    def forward(self, x):
        return 3 * x

    def backward(self, inputs, outputs, d_outputs):
        return 3 * d_outputs[0]


class Multiply(tenfold.Function):
    """y = a b, whose backward reads both inputs."""

    def forward(self, a, b):
        return a * b

    def backward(self, inputs, outputs, d_outputs):
        return inputs[1] * d_outputs[0], inputs[0] * d_outputs[0]


class Square(tenfold.Function):
    """y = x², whose backward reads the input long after later ops have run."""

    def forward(self, x):
        return x**2

    def backward(self, inputs, outputs, d_outputs):
        return 2 * inputs[0] * d_outputs[0]


class Mean(tenfold.Function):
    def forward(self, x):
        return np.asarray(x.mean())

    def output_types(self, x):
        return [((), x.dtype)]

    def backward(self, inputs, outputs, d_outputs):
        return np.full_like(inputs[0], d_outputs[0] / inputs[0].size)


X = np.array([-2.0, 1.0, 3.0])


@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        pytest.param(lambda x: x, [1, 1, 1], id="identity"),
        pytest.param(F.relu, [0, 1, 1], id="one op"),
        pytest.param(lambda x: Multiply()(x, x), [-4, 2, 6], id="one op reads a value twice"),
        pytest.param(lambda x: Multiply()(F.relu(x), Scale()(x)), [0, 6, 18], id="two branches"),
        pytest.param(lambda x: Square()(Square()(x)), [-32, 4, 108], id="values kept for backward"),
        pytest.param(
            lambda x: Multiply()(Multiply()(x, x), Multiply()(x, F.relu(x))),
            [0, 4, 108],
            id="four readers of one value",
        ),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vjp_of_compositions(f, derivative, dtype):
    value, pull = tenfold.vjp(f, X.astype(dtype))
    (dx,) = pull(np.ones(3, dtype))
    assert value.dtype == dx.dtype == dtype
    np.testing.assert_array_equal(dx, derivative)


def test_pull_scales_with_its_argument_and_may_be_called_again():
    _, pull = tenfold.vjp(lambda x: Square()(Square()(Square()(x))), X)
    first = pull(np.ones(3))[0]
    np.testing.assert_array_equal(first, 8 * X**7)
    np.testing.assert_array_equal(pull(np.full(3, 2.0))[0], 2 * first)
    np.testing.assert_array_equal(pull(np.ones(3))[0], first)


def test_value_does_not_change_when_the_primal_changes_later():
    x = X.copy()
    _, pull = tenfold.vjp(lambda v: Multiply()(v, v), x)
    x[:] = 0
    np.testing.assert_array_equal(pull(np.ones(3))[0], 2 * X)


def test_several_outputs_and_one_that_is_also_used():
    def f(x):
        r = F.relu(x)
        return r, Scale()(r), Square()(x)

    values, pull = tenfold.vjp(f, X)
    np.testing.assert_array_equal(values, [[0, 1, 3], [0, 3, 9], [4, 1, 9]])
    (dx,) = pull((np.ones(3), np.full(3, 10.0), np.full(3, 100.0)))
    np.testing.assert_array_equal(dx, [-400, 1 + 30 + 200, 1 + 30 + 600])


def test_input_that_the_value_does_not_depend_on_has_gradient_zero():
    _, pull = tenfold.vjp(lambda x, y: F.relu(x), X, np.ones((2, 5)))
    dx, dy = pull(np.ones(3))
    np.testing.assert_array_equal(dx, [0, 1, 1])
    np.testing.assert_array_equal(dy, np.zeros((2, 5)))


def test_constants_and_read_only_and_strided_primals():
    big = np.arange(12.0).reshape(3, 4)
    strided = big[:, ::2]
    strided.flags.writeable = False
    _, pull = tenfold.vjp(lambda x: Multiply()(x, np.full((3, 2), 2.0)), strided)
    np.testing.assert_array_equal(pull(np.ones((3, 2)))[0], np.full((3, 2), 2.0))
    np.testing.assert_array_equal(big, np.arange(12.0).reshape(3, 4))


def test_value_and_grad_argnums():
    f = lambda a, b: Mean()(Multiply()(a, b))  # noqa: E731
    a, b = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    value, da = tenfold.value_and_grad(f)(a, b)
    assert value.shape == ()
    assert float(value) == 6.5
    np.testing.assert_array_equal(da, b / 2)
    np.testing.assert_array_equal(tenfold.grad(f, argnums=1)(a, b), a / 2)
    _, both = tenfold.value_and_grad(f, argnums=(1, 0))(a, b)
    np.testing.assert_array_equal(both[0], a / 2)
    np.testing.assert_array_equal(both[1], b / 2)


def test_integer_primals_have_no_gradient():
    _y, pull = tenfold.vjp(lambda x, k: F.relu(x), X, np.array([1, 2]))
    assert pull(np.ones(3))[1] is None


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_more_threads_do_not_change_a_pull(threads):
    before = tenfold.num_threads()
    x = np.linspace(-1, 1, 200_000)
    expected = np.where(x >= 0, 4 * np.maximum(x, 0) * (x >= 0), 0)
    try:
        tenfold.set_num_threads(threads)
        _, pull = tenfold.vjp(lambda v: Multiply()(F.relu(v), Scale()(F.relu(v))), x)
        np.testing.assert_allclose(pull(np.ones_like(x))[0], 1.5 * expected)
    finally:
        tenfold.set_num_threads(before)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        pytest.param(lambda: tenfold.vjp(F.relu, [1.0]), TypeError, "primal 0 must be .* received list", id="list"),
        pytest.param(
            lambda: tenfold.vjp(F.relu, np.array([None])), TypeError, "primal 0 .* received dtype object", id="object"
        ),
        pytest.param(
            lambda: tenfold.vjp(F.relu, X)[1](np.ones(4)), ValueError, r"shape of the value, \(3,\); received \(4,\)",
            id="shape of dy",
        ),
        pytest.param(
            lambda: tenfold.value_and_grad(F.relu)(X), ValueError, r"must return one number; received shape \(3,\)",
            id="not a scalar",
        ),
        pytest.param(
            lambda: tenfold.value_and_grad(F.relu, argnums=2)(X), ValueError, "argnums must be below 1", id="argnums"
        ),
        pytest.param(
            lambda: tenfold.value_and_grad(lambda k: k)(np.array([1])), TypeError, "argument 0 must be a float",
            id="integer argument",
        ),
        pytest.param(lambda: tenfold.vjp(lambda x: None, X), TypeError, "must return an array", id="returns None"),
        pytest.param(
            lambda: tenfold.vjp(lambda x: F.relu(x) if x > 0 else x, X),
            TypeError,
            "a comparison needs numbers",
            id="comparison",
        ),
        pytest.param(
            lambda: tenfold.vjp(lambda x: x * int(x), X), TypeError, "to a number needs numbers", id="int"
        ),
        pytest.param(
            lambda: tenfold.vjp(lambda x: F.relu(x) if x else x, X), TypeError, "a condition needs numbers", id="if"
        ),
        pytest.param(
            lambda: tenfold.vjp(np.sin, X), TypeError, None, id="NumPy on a symbol"
        ),
    ],
)  # fmt: skip
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_a_symbol_that_outlives_its_recording_is_refused():
    kept = []
    tenfold.vjp(lambda x: kept.append(x) or x, X)
    with pytest.raises(ValueError, match="another recording"):
        tenfold.vjp(lambda x: Multiply()(x, kept[0]), X)

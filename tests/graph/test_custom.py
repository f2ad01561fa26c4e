"""tenfold.Function: NumPy code as an operation of a graph."""

import numpy as np
import pytest

import tenfold
from tenfold import functional as F
from tenfold import nn


class SplitSign(tenfold.Function):
    """Two outputs of different shapes from one input."""

    def forward(self, x):
        return np.maximum(x, 0), np.asarray(np.minimum(x, 0).sum())

    def output_types(self, x):
        return [(x.shape, x.dtype), ((), x.dtype)]

    def backward(self, inputs, outputs, d_outputs):
        return d_outputs[0] * (inputs[0] > 0) + d_outputs[1] * (inputs[0] <= 0)


def test_two_outputs_of_different_shapes():
    x = np.array([-1.0, 2.0, -3.0])
    (y, s), pull = tenfold.vjp(SplitSign(), x)
    np.testing.assert_array_equal(y, [0, 2, 0])
    assert float(s) == -4.0
    np.testing.assert_array_equal(pull((np.ones(3), np.array(5.0)))[0], [5, 1, 5])


def test_an_output_nobody_uses_gets_a_zero_gradient():
    _, pull = tenfold.vjp(lambda x: SplitSign()(x)[0], np.array([-1.0, 2.0]))
    np.testing.assert_array_equal(pull(np.ones(2))[0], [0, 1])


def test_inside_a_module_on_arrays():
    class Twice(nn.Module):
        def forward(self, x):
            return SplitSign()(F.relu(x))[0]

    np.testing.assert_array_equal(Twice()(np.array([-1.0, 2.0], np.float32)), [0, 2])


class Raises(tenfold.Function):
    def forward(self, x):
        raise RuntimeError("from forward")


class RaisesBackward(tenfold.Function):
    def forward(self, x):
        return x

    def backward(self, inputs, outputs, d_outputs):
        raise RuntimeError("from backward")


class WrongShape(tenfold.Function):
    def forward(self, x):
        return x[:1]


class WrongType(tenfold.Function):
    def forward(self, x):
        return x.astype(np.float32)


class WrongCount(tenfold.Function):
    def forward(self, x):
        return x, x


class NoBackward(tenfold.Function):
    def forward(self, x):
        return x


class Writes(tenfold.Function):
    def forward(self, x):
        x[0] = 1
        return x


X = np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        pytest.param(lambda: tenfold.vjp(Raises(), X), RuntimeError, "from forward", id="forward raises"),
        pytest.param(lambda: tenfold.vjp(RaisesBackward(), X)[1](X), RuntimeError, "from backward", id="backward"),
        pytest.param(
            lambda: tenfold.vjp(WrongShape(), X), ValueError,
            r"WrongShape.forward: result 0 must be float64 \(3,\); received float64 \(1,\)", id="shape",
        ),
        pytest.param(lambda: tenfold.vjp(WrongType(), X), ValueError, "received float32", id="dtype"),
        pytest.param(lambda: tenfold.vjp(WrongCount(), X), ValueError, "must be 1 arrays; received 2", id="count"),
        pytest.param(lambda: tenfold.vjp(NoBackward(), X)[1](X), NotImplementedError, "no backward", id="no backward"),
        pytest.param(lambda: tenfold.vjp(Writes(), X), ValueError, "read-only", id="inputs are read-only"),
    ],
)  # fmt: skip
def test_errors_reach_the_caller_and_leave_the_program_usable(call, error, text):
    with pytest.raises(error, match=text):
        call()
    np.testing.assert_array_equal(tenfold.vjp(F.relu, X)[0], X)

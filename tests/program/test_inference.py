"""Repeated calls and the arrays that results are computed in."""

import numpy as np
import pytest

from tenfold import functional as F
from tenfold import nn
from tenfold.graph import InferenceProgram


def test_a_repeated_call_sees_new_weights_and_other_inputs():
    model = nn.Linear(3, 2).eval()
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    wide = np.asfortranarray(np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3))

    def check(a):
        expected = a @ model.weight.data.T + model.bias.data
        np.testing.assert_allclose(model(a), expected, rtol=1e-5, atol=1e-6)

    for _ in range(2):
        check(x)
        check(wide)
    model.weight.data = model.weight.data * 2
    check(x)
    model.bias.data[...] = 5
    check(x)
    model.weight = nn.Parameter(np.ones((2, 3), np.float32))
    check(x)
    with pytest.raises(TypeError):
        model(x.astype(np.float16))


def test_results_of_earlier_calls_stay():
    model = nn.ReLU().eval()
    first = model(np.full(5, 1, np.float32))
    second = model(np.full(5, 2, np.float32))
    assert (first == 1).all()
    assert (second == 2).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_may_repeat_feed_each_other_and_be_inputs(dtype):
    def function(x):
        y = F.relu(x)
        z = F.exp(y)
        return y, z, y, x, z.reshape(6), z + y

    x = np.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3)
    program = InferenceProgram(function, [((2, 3), dtype)])
    y = np.maximum(x, 0)
    for _ in range(2):
        for result, expected in zip(
            program(x), (y, np.exp(y), y, x, np.exp(y).reshape(6), np.exp(y) + y), strict=True
        ):
            np.testing.assert_allclose(result, expected, rtol=1e-6)

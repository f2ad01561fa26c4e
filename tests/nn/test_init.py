"""nn.init: ranges, variances and rules."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tenfold
from tenfold import nn
from tenfold.nn import init

# A weight of a convolution: fan_in = 40 * 9, fan_out = 60 * 9; 21,600 numbers, so that a variance is within 3 %.
SHAPE = (60, 40, 3, 3)
FAN_IN, FAN_OUT = 360, 540


@pytest.fixture(autouse=True)
def _seed():
    tenfold.manual_seed(3)


@pytest.mark.parametrize(
    ("fill", "std", "bound"),
    [
        (lambda t: init.uniform_(t, -2, 1), 3 / math.sqrt(12), 2),
        (lambda t: init.normal_(t, 0, 0.3), 0.3, None),
        (init.xavier_uniform_, math.sqrt(2 / (FAN_IN + FAN_OUT)), math.sqrt(6 / (FAN_IN + FAN_OUT))),
        (lambda t: init.xavier_uniform_(t, 3), 3 * math.sqrt(2 / (FAN_IN + FAN_OUT)), None),
        (init.xavier_normal_, math.sqrt(2 / (FAN_IN + FAN_OUT)), None),
        (init.kaiming_uniform_, math.sqrt(2 / FAN_IN), math.sqrt(6 / FAN_IN)),
        (lambda t: init.kaiming_uniform_(t, math.sqrt(5)), 1 / math.sqrt(3 * FAN_IN), 1 / math.sqrt(FAN_IN)),
        (init.kaiming_normal_, math.sqrt(2 / FAN_IN), None),
        (
            lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
            math.sqrt(2 / FAN_OUT),
            None,
        ),
    ],
    ids=[
        "uniform",
        "normal",
        "xavier_uniform",
        "xavier_gain",
        "xavier_normal",
        "kaiming_uniform",
        "torch_default",
        "kaiming_normal",
        "kaiming_fan_out",
    ],
)
def test_spread(fill, std, bound):
    weight = nn.Parameter(np.zeros(SHAPE, np.float32))
    assert fill(weight) is weight
    assert weight.dtype == np.float32
    assert abs(weight.data.std() / std - 1) < 0.03
    if bound is not None:
        assert 0.98 * bound < np.abs(weight.data).max() <= bound * (1 + 1e-6)


def test_constants_and_arrays():
    array = np.empty((2, 3))
    assert init.constant_(array, 2.5) is array
    np.testing.assert_array_equal(array, 2.5)
    np.testing.assert_array_equal(init.zeros_(array), 0)
    np.testing.assert_array_equal(init.ones_(array), 1)


def test_a_view_of_a_flat_vector_is_filled_in_place():
    flat = np.zeros(10, np.float32)
    parameter = nn.Parameter(np.zeros((2, 3), np.float32))
    parameter.data = flat[2:8].reshape(2, 3)
    init.ones_(parameter)
    np.testing.assert_array_equal(flat, [0, 0, 1, 1, 1, 1, 1, 1, 0, 0])


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1),
        ("conv2d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / (1 + 0.01**2))),
        ("leaky_relu", 0.2, math.sqrt(2 / 1.04)),
        ("selu", None, 0.75),
    ],
)
def test_gains_are_torchs(name, param, gain):
    assert init.calculate_gain(name, param) == pytest.approx(gain, rel=1e-15)


def test_arguments_are_checked():
    weight = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"xavier_normal_: tensor must have at least two dimensions.*\(3,\)"):
        init.xavier_normal_(np.zeros(3))
    with pytest.raises(
        ValueError, match="kaiming_uniform_: mode must be 'fan_in' or 'fan_out'; received 'both'"
    ):
        init.kaiming_uniform_(weight, mode="both")
    with pytest.raises(ValueError, match=r"calculate_gain: nonlinearity must be one of .* received 'step'"):
        init.kaiming_normal_(weight, nonlinearity="step")

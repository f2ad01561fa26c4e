"""nn.Linear."""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference import linear as reference

import tenfold
from tenfold import nn


def test_forward_is_the_functional():
    layer = nn.Linear(5, 3, dtype=np.float64)
    x = np.random.default_rng(1).normal(size=(2, 7, 5))
    np.testing.assert_allclose(layer(x), reference.linear(x, layer.weight.data, layer.bias.data), rtol=1e-13)


def test_names_and_layouts_are_torchs():
    assert [(n, p.shape) for n, p in nn.Linear(5, 3).named_parameters()] == [
        ("weight", (3, 5)),
        ("bias", (3,)),
    ]
    without = nn.Linear(5, 3, bias=False)
    assert [n for n, _ in without.named_parameters()] == ["weight"]
    assert without.bias is None
    assert repr(nn.Linear(5, 3)) == "Linear(in_features=5, out_features=3, bias=True)"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_weights_are_uniform_up_to_one_by_sqrt_in(dtype):
    tenfold.manual_seed(1)
    layer = nn.Linear(400, 300, dtype=dtype)
    bound = 1 / np.sqrt(400)
    for parameter in (layer.weight, layer.bias):
        assert parameter.dtype == dtype
        assert np.abs(parameter.data).max() <= bound
        assert np.abs(parameter.data).max() > 0.98 * bound
    w = layer.weight.data
    # 120,000 numbers: the standard error of the mean is 0.0017 bound, that of the variance about 0.3 %.
    assert abs(w.mean()) < 0.01 * bound
    assert abs(w.var() / (bound**2 / 3) - 1) < 0.02


def test_the_seed_decides_the_weights():
    weights = []
    for seed in (1, 1, 2):
        tenfold.manual_seed(seed)
        weights.append(nn.Linear(5, 3).weight.data)
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 3), ValueError, "Linear: in_features must be positive; received 0"),
        ((5, -1), ValueError, "Linear: out_features must be positive; received -1"),
        ((5.0, 3), TypeError, "Linear: in_features must be an int; received 5.0"),
        ((5, 3, True, np.int32), TypeError, "Linear: dtype must be float32 or float64; received int32"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.Linear(*arguments)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        pytest.param(
            lambda: nn.Linear(2**40, 2**40), r"Linear: weight must have at most 2\^48 elements", id="linear"
        ),
        pytest.param(
            lambda: nn.Conv2d(2**40, 2**20, 3), r"Conv2d: weight must have at most 2\^48", id="conv"
        ),
    ],
)
def test_sizes_whose_product_overflows(make, text):
    with pytest.raises(ValueError, match=text):
        make()

"""Activation layers, Add and Identity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tenfold
from tenfold import functional as F
from tenfold import nn

LAYERS: dict[str, tuple[nn.Module, Any]] = {
    "ReLU": (nn.ReLU(), F.relu),
    "LeakyReLU": (nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)),
    "ELU": (nn.ELU(0.5), lambda x: F.elu(x, 0.5)),
    "GELU": (nn.GELU(), F.gelu),
    "GELU_tanh": (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh")),
    "SiLU": (nn.SiLU(), F.silu),
    "Sigmoid": (nn.Sigmoid(), F.sigmoid),
    "Tanh": (nn.Tanh(), F.tanh),
    "Softplus": (nn.Softplus(2.0), lambda x: F.softplus(x, 2.0)),
    "Identity": (nn.Identity(7, what="ignored"), lambda x: x),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_its_function(name: str) -> None:
    layer, f = LAYERS[name]
    x = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    np.testing.assert_array_equal(layer(x), f(x))
    y, pull = tenfold.vjp(layer.forward, x)
    expected, expected_pull = tenfold.vjp(f, x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(pull(x)[0], expected_pull(x)[0])


def test_defaults_are_those_of_torch() -> None:
    assert nn.LeakyReLU().negative_slope == 0.01
    assert nn.ELU().alpha == 1.0
    assert nn.GELU().approximate == "none"
    assert (nn.Softplus().beta, nn.Softplus().threshold) == (1.0, 20.0)


def test_relu_derivative_at_zero() -> None:
    zero = np.zeros(1)
    for at_zero in (0, 1):
        _, pull = tenfold.vjp(nn.ReLU(at_zero=at_zero).forward, zero)
        assert pull(np.ones(1))[0][0] == at_zero


def test_repr_shows_the_arguments() -> None:
    assert repr(nn.ReLU()) == "ReLU()"
    assert repr(nn.ReLU(at_zero=0)) == "ReLU(at_zero=0)"
    assert repr(nn.LeakyReLU()) == "LeakyReLU(negative_slope=0.01)"
    assert repr(nn.GELU()) == "GELU(approximate='none')"


def test_add_sums_its_inputs() -> None:
    a, b, c = np.ones((2, 3)), np.full((2, 3), 2.0), np.array([10.0, 20.0, 30.0])
    np.testing.assert_array_equal(nn.Add()(a, b, c), [[13, 23, 33]] * 2)
    np.testing.assert_array_equal(nn.Add()(a), a)
    gradients = tenfold.vjp(nn.Add().forward, a, b, c)[1](np.ones((2, 3)))
    np.testing.assert_array_equal(gradients[0], np.ones((2, 3)))
    np.testing.assert_array_equal(gradients[2], [2, 2, 2])


def test_add_joins_branches() -> None:
    block = nn.Add(nn.Identity(), nn.Sequential(nn.Linear(3, 3), nn.Tanh()))
    assert [name for name, _ in block.named_parameters()] == ["1.0.weight", "1.0.bias"]
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    linear = block._modules["1"][0]
    np.testing.assert_allclose(block(x), x + np.tanh(linear(x)), rtol=1e-6, atol=1e-6)  # the sum cancels


def test_errors_name_layer_and_rule() -> None:
    with pytest.raises(ValueError, match="GELU: approximate must be 'none' or 'tanh'; received 'fast'"):
        nn.GELU("fast")
    with pytest.raises(ValueError, match="Softplus: beta must be positive; received 0"):
        nn.Softplus(0)
    with pytest.raises(TypeError, match="Add: there must be at least one input"):
        nn.Add()()
    with pytest.raises(TypeError, match="Add: with branches there must be one input; received 2"):
        nn.Add(nn.Identity())(np.ones(1), np.ones(1))
    with pytest.raises(TypeError, match="Add: every branch must be a Module; branch 0 is a int"):
        nn.Add(1)  # type: ignore[arg-type]

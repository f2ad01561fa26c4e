"""Convolution layers: parameters, defaults and the functional forms they call."""

from __future__ import annotations

import numpy as np
import pytest

import tenfold
from tenfold import functional as F
from tenfold import nn


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layers_call_their_function(rank):
    x = np.random.default_rng(0).standard_normal((2, 4, *(6, 7, 5)[:rank]), np.float32)
    layer = getattr(nn, f"Conv{rank}d")(4, 6, 3, stride=2, padding=1, groups=2, padding_mode="circular")
    assert layer.weight.shape == (6, 2, *[3] * rank)
    assert layer.bias.shape == (6,)
    expected = getattr(F, f"conv{rank}d")(
        x, layer.weight.data, layer.bias.data, 2, 1, groups=2, border="circular"
    )
    np.testing.assert_array_equal(layer(x), expected)
    up = getattr(nn, f"ConvTranspose{rank}d")(4, 6, 3, stride=2, output_padding=1, groups=2, bias=False)
    assert up.weight.shape == (4, 3, *[3] * rank)
    assert up.bias is None
    expected = getattr(F, f"conv_transpose{rank}d")(x, up.weight.data, None, 2, 0, 1, 2)
    np.testing.assert_array_equal(up(x), expected)


def test_initial_weights_fill_torchs_interval():
    layer = nn.Conv2d(8, 64, 5, groups=2)
    bound = 1 / np.sqrt(4 * 25)
    for parameter in (layer.weight, layer.bias):
        assert np.abs(parameter.data).max() <= bound
        assert np.abs(parameter.data).max() > 0.9 * bound
    assert nn.ConvTranspose2d(3, 5, 2).weight.data.std() == pytest.approx(
        1 / np.sqrt(20) / np.sqrt(3), rel=0.25
    )


def test_the_seed_decides_the_weights():
    tenfold.manual_seed(7)
    a = nn.Conv2d(3, 5, 3).weight.data
    tenfold.manual_seed(7)
    np.testing.assert_array_equal(a, nn.Conv2d(3, 5, 3).weight.data)


def test_dtype_and_border():
    layer = nn.Conv2d(1, 1, 3, padding="same", border="symmetric", dtype=np.float64)
    assert layer(np.ones((1, 1, 4, 4))).dtype == np.float64
    assert "symmetric" in repr(layer)


def test_unfold_and_fold_layers():
    x = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    columns = nn.Unfold(2, stride=2)(x)
    np.testing.assert_array_equal(columns, F.unfold(x, 2, stride=2))
    np.testing.assert_array_equal(nn.Fold((4, 5), 2, stride=2)(columns), F.fold(columns, (4, 5), 2, stride=2))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"in_channels": 0}, "Conv2d: in_channels must be positive"),
        ({"kernel_size": 0}, "Conv2d: kernel_size must be positive"),
        ({"stride": (1, 0)}, "Conv2d: stride must be positive"),
        ({"groups": 2}, "Conv2d: groups must divide in_channels"),
        ({"padding_mode": "mirror"}, "Conv2d: padding_mode must be one of"),
        ({"border": "mirror"}, "Conv2d: border must be one of"),
    ],
    ids=["channels", "kernel", "stride", "groups", "padding_mode", "border"],
)
def test_bad_arguments_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        nn.Conv2d(**{"in_channels": 3, "out_channels": 4, "kernel_size": 3, **arguments})

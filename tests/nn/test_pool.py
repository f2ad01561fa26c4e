"""Pooling, padding and shape layers call the functions of their name with their arguments."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold import functional as F
from tenfold import nn

X = {
    rank: np.random.default_rng(rank).standard_normal((2, 3, 9, 11, 13)[: rank + 2]).astype(np.float32)
    for rank in (1, 2, 3)
}


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pooling_layers(rank):
    x = X[rank]
    layer = getattr(nn, f"MaxPool{rank}d")(3, 2, 1, return_indices=True, ceil_mode=True)
    expected = getattr(F, f"max_pool{rank}d")(x, 3, 2, 1, ceil_mode=True, return_indices=True)
    for actual, wanted in zip(layer(x), expected):
        np.testing.assert_array_equal(actual, wanted)
    layer = getattr(nn, f"MaxPool{rank}d")(2, dilation=2)
    np.testing.assert_array_equal(layer(x), getattr(F, f"max_pool{rank}d")(x, 2, dilation=2))
    layer = getattr(nn, f"AvgPool{rank}d")(3, 2, 1, count_include_pad=False)
    np.testing.assert_array_equal(
        layer(x), getattr(F, f"avg_pool{rank}d")(x, 3, 2, 1, count_include_pad=False)
    )
    layer = getattr(nn, f"AdaptiveAvgPool{rank}d")(2)
    np.testing.assert_array_equal(layer(x), getattr(F, f"adaptive_avg_pool{rank}d")(x, 2))
    layer = getattr(nn, f"AdaptiveMaxPool{rank}d")(2, return_indices=True)
    for actual, wanted in zip(layer(x), getattr(F, f"adaptive_max_pool{rank}d")(x, 2, True)):
        np.testing.assert_array_equal(actual, wanted)


def test_global_average():
    np.testing.assert_allclose(
        nn.GlobalAvgPool2d()(X[2]), X[2].mean((2, 3), keepdims=True), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        nn.GlobalAvgPool2d(flatten=True)(X[2]), X[2].mean((2, 3)), rtol=1e-5, atol=1e-6
    )


def test_shape_layers():
    assert nn.Flatten()(X[2]).shape == (2, 27 * 11)
    assert nn.Flatten(0, 1)(X[2]).shape == (6, 9, 11)
    assert nn.Unflatten(1, (3, -1))(nn.Flatten()(X[2])).shape == (2, 3, 99)
    np.testing.assert_array_equal(nn.Concat()(X[2], X[2][:, :1]), np.concatenate([X[2], X[2][:, :1]], 1))


@pytest.mark.parametrize(
    ("layer", "mode"),
    [
        (nn.ZeroPad2d, "constant"),
        (nn.ReflectionPad2d, "reflect"),
        (nn.ReplicationPad2d, "edge"),
        (nn.CircularPad2d, "wrap"),
    ],
)
def test_padding_layers(layer, mode):
    around = [(0, 0), (0, 0), (3, 4), (1, 2)]
    np.testing.assert_array_equal(layer((1, 2, 3, 4))(X[2]), np.pad(X[2], around, mode))
    with pytest.raises(ValueError, match=f"{layer.__name__}: padding must be an int or 4 ints"):
        layer((1, 2))


def test_constant_padding_layer():
    expected = np.pad(X[2], [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=2.5)
    np.testing.assert_array_equal(nn.ConstantPad2d(1, 2.5)(X[2]), expected)


def test_reprs_show_the_arguments():
    assert (
        repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    )
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    assert repr(nn.AdaptiveAvgPool2d((1, None))) == "AdaptiveAvgPool2d(output_size=(1, None))"
    assert repr(nn.Concat()) == "Concat(axis=1)"

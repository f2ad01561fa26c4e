"""Arguments of a wrong type or beyond 64 bits are refused by name, whichever function takes them."""

import numpy as np
import pytest

import tenfold
from tenfold import functional as F
from tenfold import nn, optim

X = np.ones((2, 4, 9, 8), np.float32)
W = np.ones((3, 4, 3, 3), np.float32)

CALLS = {
    "conv2d: stride": lambda bad: F.conv2d(X, W, stride=bad),
    "conv2d: padding": lambda bad: F.conv2d(X, W, padding=bad),
    "conv2d: groups": lambda bad: F.conv2d(X, W, groups=bad),
    "conv_transpose2d: output_padding": lambda bad: F.conv_transpose2d(X, W[:, :3], output_padding=bad),
    "conv_matrix: shape": lambda bad: F.conv_matrix(W[0, 0], bad),
    "max_pool2d: kernel_size": lambda bad: F.max_pool2d(X, bad),
    "fold: output_size": lambda bad: F.fold(np.ones((1, 4, 2)), bad, 2),
    "unfold: kernel_size": lambda bad: F.unfold(X, bad),
    "softmax: axis": lambda bad: F.softmax(X, axis=bad),
    "cross_entropy: ignore_index": lambda bad: F.cross_entropy(X[0, 0], np.zeros(9, int), ignore_index=bad),
    "ZeroPad2d: padding": lambda bad: nn.ZeroPad2d([bad] * 4),
}
NUMBERS = {
    "conv2d: border_value": lambda bad: F.conv2d(X, W, border_value=bad),
    "pad: value": lambda bad: F.pad(X, (1, 1), value=bad),
    "cross_entropy: label_smoothing": lambda bad: F.cross_entropy(
        X[0, 0], np.zeros(9, int), label_smoothing=bad
    ),
    "batch_norm: eps": lambda bad: F.batch_norm(X, np.zeros(4, np.float32), np.ones(4, np.float32), eps=bad),
    "dropout: p": lambda bad: F.dropout(X, bad),
    "Dropout: p": nn.Dropout,
    "Softplus: beta": nn.Softplus,
    "SGD: momentum": lambda bad: optim.SGD(0.1, momentum=bad),
    "AdamW: betas": lambda bad: optim.AdamW(0.1, betas=(0.9, bad)),
    "Adam: eps": lambda bad: optim.Adam(0.1, eps=bad),
    "RMSprop: alpha": lambda bad: optim.RMSprop(0.1, alpha=bad),
    "Cosine: final": lambda bad: optim.Cosine(0.1, final=bad),
}


@pytest.mark.parametrize("bad", [1.5, np.float32(2), "x", object(), np.array(2.0)], ids=repr)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_integer_is_a_type_error(name, bad):
    with pytest.raises((TypeError, ValueError), match=f"^{name.split(':')[0]}.*: .*{name.split()[1]}"):
        CALLS[name](bad)


@pytest.mark.parametrize("name", [n for n in CALLS if "shape" not in n and "output_size" not in n])
def test_an_integer_beyond_64_bits_is_a_value_error(name):
    with pytest.raises(ValueError, match=f"{name.split()[1]} must fit into 64 bits"):
        CALLS[name](2**70)


@pytest.mark.parametrize("bad", ["x", None, np.ones(2), True], ids=repr)
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_is_a_type_error(name, bad):
    if bad is None and name == "pad: value":
        return  # the default
    with pytest.raises(TypeError, match=f"^{name} must be a number; received"):
        NUMBERS[name](bad)


@pytest.mark.parametrize(
    ("bad", "error"), [(-1, ValueError), (1.5, TypeError), ("x", TypeError), (True, TypeError)]
)
def test_a_seed_is_a_natural_number(bad, error):
    with pytest.raises(error, match=r"^manual_seed: seed must be"):
        tenfold.manual_seed(bad)


def test_a_numpy_integer_is_an_integer():
    two = np.int8(2)
    assert F.conv2d(X, W, stride=two, padding=two).shape == (2, 3, 6, 5)
    assert nn.ZeroPad2d(two)(X).shape == (2, 4, 13, 12)

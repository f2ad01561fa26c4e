"""Eager calls keep their operations and workspaces, which nobody notices but the clock."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tenfold
from tenfold import _core
from tenfold import functional as F
from tenfold.graph import _trace

W = np.ones((1, 1, 3, 3), np.float32)


def images(height, width):
    """Return two images of a size that no other test has, so that no operation for them is known yet."""
    return np.arange(1, 2 * height * width + 1, dtype=np.float32).reshape(2, 1, height, width)


@pytest.fixture
def made(monkeypatch):
    """Return the operations that have been made since the test began."""
    # Those of other tests might fill it, and be dropped, half-way.
    monkeypatch.setattr(_trace, "_operations", {})
    operations = []
    make = _core.Op
    monkeypatch.setattr(_core, "Op", lambda *arguments: operations.append(make(*arguments)) or operations[-1])
    return operations


def test_calls_that_are_alike_share_an_operation(made):
    x = images(4, 11)
    first = F.conv2d(x, W)
    second = F.conv2d(x + 1, W)
    assert len(made) == 1
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(second, first + 9)


def test_calls_that_differ_do_not(made):
    x = images(4, 13)
    calls = [
        lambda: F.conv2d(x, W),
        lambda: F.conv2d(x, W, padding=1),
        lambda: F.conv2d(x[:1], W),
        lambda: F.conv2d(x.astype(np.float64), W.astype(np.float64)),
        lambda: F.conv2d(x, W, padding=1, border="replicate"),
        lambda: F.conv2d(x, W, border_value=-0.0),
        lambda: F.conv2d(x, W, algorithm="direct"),
        lambda: F.conv_transpose2d(x, W),
        lambda: F.max_pool2d(x, 2),
        lambda: F.max_pool2d(x, 2, return_indices=True),
        lambda: F.avg_pool2d(x, 2),
        lambda: F.relu(x),
        lambda: F.relu(x, at_zero=0.0),
        lambda: F.relu(x, at_zero=-0.0),
        lambda: F.sigmoid(x),
        lambda: F.tanh(x),
        lambda: F.leaky_relu(x, 0.0),
        lambda: F.leaky_relu(x, -0.0),
    ]
    for number, call in enumerate(calls, 1):
        call()
        assert len(made) == number
        call()
        assert len(made) == number
    for call in calls:  # each has its own, whatever was called meanwhile
        call()
    assert len(made) == len(calls)


def test_a_known_operation_takes_what_it_was_made_for():
    x = images(4, 17)
    expected = F.conv2d(x, W)
    columns = np.asfortranarray(x)
    np.testing.assert_array_equal(F.conv2d(columns, W), expected)
    with pytest.raises(TypeError):
        F.conv2d(x, W.astype(np.float64))
    with tenfold.graph.Trace().recording():
        np.testing.assert_array_equal(F.conv2d(x, W), expected)


def test_an_operation_belongs_to_an_instruction_set(made):
    x = images(4, 19)
    before = _core.isa()
    try:
        for number, isa in enumerate(_core.available_isas(), 1):
            _core.set_isa(isa)
            F.conv2d(x, W)
            assert len(made) == number
    finally:
        _core.set_isa(before)


def test_not_all_are_kept():
    x = images(2, 2)
    for n in range(1, _trace._KEPT_OPERATIONS + 10):
        F.relu(x.reshape(-1)[:1].repeat(n))
        assert len(_trace._operations) <= _trace._KEPT_OPERATIONS


@pytest.mark.parametrize("stride", [True, (1, True), 0, (1, 0), "1", 1.5])
def test_what_is_refused_is_refused_again(stride):
    x = images(4, 4)
    F.conv2d(x, W, stride=1)
    F.conv2d(x, W, stride=(1, 1))
    for _ in range(2):
        with pytest.raises((TypeError, ValueError), match="stride"):
            F.conv2d(x, W, stride=stride)


class Doubled(tenfold.Function):
    """Eager calls, small and large, while another operation runs."""

    def forward(self, x):
        for channels in (64, 1, 64):
            F.conv2d(
                np.ones((1, channels, 40, 40), np.float32),
                np.ones((32, channels, 3, 3), np.float32),
                padding=1,
            )
        return 2 * x


def test_workspaces_are_of_one_call_each():
    """Convolutions that need kilobytes and megabytes, one after the other, in threads, and within each other."""
    rng = np.random.default_rng(0)
    layers = []
    for n, c, f, size in ((1, 64, 64, 40), (1, 2, 3, 6), (2, 128, 32, 24), (1, 1, 1, 3), (4, 16, 48, 33)):
        x = rng.standard_normal((n, c, size, size)).astype(np.float32)
        w = rng.standard_normal((f, c, 3, 3)).astype(np.float32)
        layers.append((x, w, F.conv2d(x, w, padding=1)))

    def call(order):
        for i in order:
            x, w, expected = layers[i]
            np.testing.assert_array_equal(F.conv2d(x, w, padding=1), expected)

    orders = list(itertools.permutations(range(len(layers))))[::7]
    for order in orders:
        call(order)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(call, orders))
    x, w, expected = layers[0]
    y, _ = tenfold.vjp(lambda x: F.conv2d(Doubled()(x), w, padding=1), x)
    np.testing.assert_array_equal(y, 2 * expected)

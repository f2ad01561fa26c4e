"""Eager calls keep their operations, which nobody notices but the clock."""

import numpy as np
import pytest

from tenfold import _core
from tenfold import functional as F
from tenfold.graph import _trace

X = np.arange(1, 33, dtype=np.float32).reshape(2, 1, 4, 4)
W = np.ones((1, 1, 3, 3), np.float32)


@pytest.fixture(autouse=True)
def nothing_kept():
    _trace._operations.clear()


def kept():
    return len(_trace._operations)


def test_calls_that_are_alike_share_an_operation():
    first = F.conv2d(X, W)
    second = F.conv2d(X + 1, W)
    assert kept() == 1
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(second, first + 9)


def test_calls_that_differ_do_not():
    calls = [
        lambda: F.conv2d(X, W),
        lambda: F.conv2d(X, W, padding=1),
        lambda: F.conv2d(X[:1], W),
        lambda: F.conv2d(X.astype(np.float64), W.astype(np.float64)),
        lambda: F.conv2d(X, W, padding=1, border="replicate"),
        lambda: F.conv2d(X, W, algorithm="direct"),
        lambda: F.relu(X),
        lambda: F.leaky_relu(X, 0.0),
        lambda: F.leaky_relu(X, -0.0),
    ]
    for number, call in enumerate(calls, 1):
        call()
        assert kept() == number
        call()
        assert kept() == number


def test_an_operation_belongs_to_an_instruction_set():
    before = _core.isa()
    try:
        for number, isa in enumerate(_core.available_isas(), 1):
            _core.set_isa(isa)
            F.conv2d(X, W)
            assert kept() == number
    finally:
        _core.set_isa(before)


def test_not_all_are_kept():
    for n in range(1, _trace._KEPT_OPERATIONS + 10):
        F.relu(X.reshape(-1)[:1].repeat(n))
        assert kept() <= _trace._KEPT_OPERATIONS


@pytest.mark.parametrize("stride", [True, (1, True), 0, (1, 0), "1", 1.5])
def test_what_is_refused_is_refused_again(stride):
    F.conv2d(X, W, stride=1)
    F.conv2d(X, W, stride=(1, 1))
    for _ in range(2):
        with pytest.raises((TypeError, ValueError), match="stride"):
            F.conv2d(X, W, stride=stride)

"""Dropout: its masks, their determinism and their use in the gradient."""

import numpy as np
import pytest
from tests.reference import norm as reference

import tenfold
from tenfold import _core, _random, nn
from tenfold import functional as F


def test_reference_generator_gives_the_published_words():
    # The first known answer that the authors publish with their library.
    assert reference.philox((0, 0, 0, 0), (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 1500])
def test_mask_is_that_of_the_generator(isa, n, dtype):
    seed, stream, p = 0x123456789ABCDEF0, 7, 0.375
    x = np.arange(1, n + 1).astype(dtype)
    y = _core.Op("dropout", {"p": p, "stream": stream}, [x])([x], seed)[0]
    kept = reference.kept(n, p, seed, stream, 0)
    np.testing.assert_allclose(y, np.where(kept, x / (1 - p), 0), rtol=2 * np.finfo(dtype).eps)
    assert (y[kept] > 0).all()


def test_maps_have_the_generators_mask():
    x = np.ones((5, 20, 2, 3))
    y = _core.Op("dropout", {"p": 0.375, "span": 6}, [x])([x], 99)[0]
    kept = reference.kept(100, 0.375, 99, 0, 0).reshape(5, 20, 1, 1)
    np.testing.assert_array_equal(y, np.where(kept, x / 0.625, 0))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_mean_and_share(p):
    _random.manual_seed(1)
    n = 200_000
    y = F.dropout(np.ones(n, np.float32), p)
    # The share of zeros is binomial: five standard deviations.
    assert abs(np.mean(y == 0) - p) < 5 * np.sqrt(p * (1 - p) / n)
    assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / n)


def test_same_bits_at_every_thread_count():
    x = np.random.default_rng(0).standard_normal(300_000).astype(np.float32)
    before, results = tenfold.num_threads(), []
    try:
        for threads in (1, 2, 3):
            tenfold.set_num_threads(threads)
            _random.manual_seed(5)
            results.append(F.dropout(x, 0.5).tobytes())
    finally:
        tenfold.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("f", [F.dropout, F.dropout2d], ids=lambda f: f.__name__)
def test_gradient_uses_the_mask_of_the_forward_pass(isa, f):
    x = np.random.default_rng(0).uniform(1, 2, (4, 5, 6, 7))
    y, pull = tenfold.vjp(lambda x: f(x, 0.5), x)
    assert 0 < np.mean(y == 0) < 1
    for _ in range(2):
        np.testing.assert_array_equal(pull(x)[0], y)


def test_two_layers_draw_different_masks():
    x = np.ones(10_000)
    y, _ = tenfold.vjp(lambda x: F.dropout(F.dropout(x, 0.5), 0.5), x)
    assert abs(np.mean(y > 0) - 0.25) < 0.03  # 0.5 if the masks were the same


def test_two_calls_draw_different_masks_and_a_seed_repeats_them():
    x = np.ones(1000)
    _random.manual_seed(3)
    first, second = F.dropout(x), F.dropout(x)
    assert not np.array_equal(first, second)
    _random.manual_seed(3)
    np.testing.assert_array_equal(F.dropout(x), first)


@pytest.mark.parametrize("f", [F.dropout, F.dropout2d], ids=lambda f: f.__name__)
def test_ends_of_the_range(f):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    np.testing.assert_array_equal(f(x, 0.0), x)
    np.testing.assert_array_equal(f(x, 1.0), 0 * x)
    np.testing.assert_array_equal(f(x, 0.5, training=False), x)
    assert f(np.zeros((0, 3, 4, 5))).shape == (0, 3, 4, 5)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_out_of_range_is_refused(p):
    for training in (True, False):
        with pytest.raises(ValueError, match=r"^dropout: p must be from 0 to 1; received"):
            F.dropout(np.ones(3), p, training)
    with pytest.raises(ValueError, match=r"^Dropout: p must be from 0 to 1; received"):
        nn.Dropout(p)


def test_wrong_inputs_are_refused():
    with pytest.raises(
        TypeError, match=r"^dropout: input must be a float32 or float64 array; received dtype int64"
    ):
        F.dropout(np.ones(3, int))
    with pytest.raises(
        ValueError, match=r"^dropout2d: input must have shape \(N, C, H, W\); received \(3,\)"
    ):
        F.dropout2d(np.ones(3))


def test_layer_is_random_in_training_only():
    layer = nn.Dropout(0.5)
    x = np.ones((10, 100), np.float32)
    first = layer(x)
    assert set(np.unique(first)) == {0, 2}
    assert not np.array_equal(layer(x), first)
    np.testing.assert_array_equal(layer.eval()(x), x)
    assert np.unique(nn.Dropout2d(0.5)(np.ones((4, 8, 3, 3), np.float32)).reshape(32, 9), axis=1).shape == (
        32,
        1,
    )

"""Batch normalisation against the reference."""

import itertools

import numpy as np
import pytest
from tests.gradcheck import check_gradients
from tests.reference import norm as reference
from tests.tolerance import assert_close

import tenfold
from tenfold import functional as F
from tenfold import nn

SHAPES = [
    pytest.param((7, 3), id="matrix"),
    pytest.param((65, 65), id="matrix_one_above_a_block"),
    pytest.param((2, 3, 11), id="1d"),
    pytest.param((2, 3, 7, 11), id="2d"),
    pytest.param((2, 3, 65, 65), id="plane_of_two_pieces"),
    pytest.param((2, 3, 2, 7, 5), id="3d"),
    pytest.param((2, 3, 1, 1), id="one_pixel"),
    pytest.param((3, 40, 2, 2), id="small_planes"),
    pytest.param((2, 33, 16), id="largest_turned_backward"),
    pytest.param((2, 35, 17), id="turned_forward"),
    pytest.param((2, 70, 64), id="largest_turned_forward"),
]
MODES = [
    pytest.param(
        training,
        affine,
        running,
        id=f"{'train' if training else 'infer'}{'_affine' * affine}{'_running' * running}",
    )
    for training, affine, running in itertools.product((True, False), (True, False), (True, False))
    if training or running
]


def draw(shape, dtype, running, affine):
    rng = np.random.default_rng(0)
    c = shape[1]
    x = (2 + 3 * rng.standard_normal(shape)).astype(dtype)
    mean, var = (
        (rng.standard_normal(c).astype(dtype), rng.uniform(0.5, 2, c).astype(dtype))
        if running
        else (None,) * 2
    )
    w, b = (
        (rng.uniform(0.5, 2, c).astype(dtype), rng.standard_normal(c).astype(dtype))
        if affine
        else (None,) * 2
    )
    return x, mean, var, w, b


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("training", "affine", "running"), MODES)
def test_against_reference(isa, shape, dtype, training, affine, running):
    x, mean, var, w, b = draw(shape, dtype, running, affine)
    expected, new_mean, new_var = reference.batch_norm(x, mean, var, w, b, training, 0.3, 1e-3)
    dy = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    dx, dw, db = reference.batch_norm_gradient(x, mean, var, w, training, 1e-3, dy)

    arrays = (x, w, b) if affine else (x,)
    y, pull = tenfold.vjp(
        lambda x, w=None, b=None: F.batch_norm(x, mean, var, w, b, training, 0.3, 1e-3), *arrays
    )
    actual = pull(dy)
    terms = x.size // shape[1]
    assert y.dtype == dtype
    # The mean is rounded to the dtype: an error of eps |x|, which division by a small deviation enlarges.
    axes = tuple(i for i in range(x.ndim) if i != 1)
    inverse = 1 / np.sqrt((x.astype(float).var(axis=axes) if training else var).min() + 1e-3)
    enlarged = float(inverse * np.abs(x).max() * (2 if affine else 1))
    assert_close(y, expected, terms, scale=enlarged)
    # In training dx is what is left when numbers of this size cancel.
    assert_close(actual[0], dx, terms, scale=float(enlarged * inverse * np.abs(dy).max()))
    if affine:
        assert_close(actual[1], dw, terms, scale=float(np.abs(dy).sum() * enlarged))
        assert_close(actual[2], db, terms, scale=float(np.abs(dy).sum()))

    old = None if mean is None else mean.copy()
    np.testing.assert_array_equal(F.batch_norm(x, mean, var, w, b, training, 0.3, 1e-3), y)
    if running and training:
        assert_close(mean, new_mean, terms)
        assert_close(var, new_var, terms)
    elif running:
        np.testing.assert_array_equal(mean, old)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4)], ids=["columns", "planes"])
def test_gradient_by_differences(shape):
    x, mean, var, w, b = draw(shape, np.float64, True, True)
    check_gradients(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), x, w, b, rtol=1e-6)
    check_gradients(lambda x, w, b: F.batch_norm(x, mean, var, w, b), x, w, b)


@pytest.mark.parametrize(
    "shape", [(1000, 3), (10, 3, 100), (100, 3, 10)], ids=["columns", "planes", "small_planes"]
)
def test_large_mean_does_not_spoil_the_variance(isa, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32) + np.float32(10000)
    mean, var = np.zeros(3, np.float32), np.zeros(3, np.float32)
    F.batch_norm(x, mean, var, training=True, momentum=1.0)
    axes = tuple(i for i in range(x.ndim) if i != 1)
    np.testing.assert_allclose(mean, x.astype(float).mean(axis=axes), rtol=1e-7)
    np.testing.assert_allclose(var, x.astype(float).var(axis=axes, ddof=1), rtol=1e-5)


@pytest.mark.parametrize(
    "shape", [(2000, 100), (20, 10, 1000), (30, 70, 4, 4)], ids=["columns", "planes", "small_planes"]
)
def test_same_bits_at_every_thread_count(shape):
    x, mean, var, w, b = draw(shape, np.float32, True, True)
    dy = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    results, before = [], tenfold.num_threads()
    try:
        for threads in (1, 2, 3):
            tenfold.set_num_threads(threads)
            y, pull = tenfold.vjp(lambda x, w, b: F.batch_norm(x, mean, var, w, b, True), x, w, b)
            results.append([a.tobytes() for a in (y, *pull(dy))])
    finally:
        tenfold.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_empty_batch_leaves_the_statistics():
    mean, var = np.full(3, 2.0), np.full(3, 4.0)
    assert F.batch_norm(np.zeros((0, 3, 5)), mean, var, training=True).shape == (0, 3, 5)
    np.testing.assert_array_equal(mean, 2)
    np.testing.assert_array_equal(var, 4)


REFUSED = [
    pytest.param(
        (np.zeros(3), None, None),
        {},
        ValueError,
        "running_mean must be given when training is False",
        id="none",
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(3), None), {}, ValueError, "given both or not at all", id="half"
    ),
    pytest.param(
        (np.zeros(3), np.zeros(3), np.ones(3)), {}, ValueError, r"input must have shape \(N, C\)", id="rank_1"
    ),
    pytest.param(
        (np.zeros((1,) * 6), np.zeros(1), np.ones(1)), {}, ValueError, "at most 5 axes", id="rank_6"
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(2), np.ones(3)),
        {},
        ValueError,
        r"running_mean must have shape \(3,\)",
        id="mean",
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(3), np.ones((3, 1))),
        {},
        ValueError,
        r"running_var must have shape \(3,\)",
        id="var",
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(3), np.ones(3), np.ones(2)),
        {},
        ValueError,
        r"weight must have shape \(3,\)",
        id="weight",
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(3), np.ones(3), None, np.ones(2)),
        {},
        ValueError,
        r"bias must have shape \(3,\)",
        id="bias",
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(3, np.float32), np.ones(3)),
        {},
        TypeError,
        "running_mean must have the dtype of input",
        id="dtype",
    ),
    pytest.param(
        (np.zeros((2, 3), int), np.zeros(3), np.ones(3)), {}, TypeError, "input must be a float32", id="int"
    ),
    pytest.param(
        (np.zeros((1, 3)), np.zeros(3), np.ones(3)),
        {"training": True},
        ValueError,
        "more than one value per channel",
        id="one_value",
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(3), np.ones(3)),
        {"eps": -1},
        ValueError,
        "eps must be finite and at least 0",
        id="eps",
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(3), np.ones(3)),
        {"momentum": 2},
        ValueError,
        "momentum must be from 0 to 1; received 2",
        id="momentum",
    ),
]


@pytest.mark.parametrize(("arguments", "options", "error", "text"), REFUSED)
def test_wrong_arguments_are_refused(arguments, options, error, text):
    with pytest.raises(error, match=f"^batch_norm: .*{text}"):
        F.batch_norm(*arguments, **options)


def test_layer_counts_and_tracks():
    layer = nn.BatchNorm2d(3, momentum=0.5)
    assert sorted(layer.state_dict()) == [
        "bias",
        "num_batches_tracked",
        "running_mean",
        "running_var",
        "weight",
    ]
    x = np.random.default_rng(0).standard_normal((4, 3, 5, 7)).astype(np.float32)
    mean, var = np.zeros(3), np.ones(3)
    for step in range(3):
        y = layer(x + step)
        expected, mean, var = reference.batch_norm(
            x + np.float32(step), mean, var, None, None, True, 0.5, 1e-5
        )
        assert_close(y, expected, 140)
        assert_close(layer.running_mean.data, mean, 140)
        assert_close(layer.running_var.data, var, 140)
        assert layer.num_batches_tracked.data == step + 1
        assert layer.num_batches_tracked.shape == ()
    layer.eval()
    assert_close(layer(x), reference.batch_norm(x, mean, var, None, None, False, 0.5, 1e-5)[0], 140)
    assert layer.num_batches_tracked.data == 3


@pytest.mark.parametrize("training", [True, False])
def test_layer_without_statistics_uses_those_of_the_batch(training):
    layer = nn.BatchNorm1d(3, affine=False, track_running_stats=False).train(training)
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    assert layer.state_dict() == {}
    assert_close(layer(x), reference.batch_norm(x, None, None, None, None, True, 0.1, 1e-5)[0], 5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d, (4, 3, 5, 7)),
        (nn.BatchNorm2d, (4, 3)),
        (nn.BatchNorm3d, (4, 3, 5, 7)),
        (nn.BatchNorm2d, (4, 2, 5, 7)),
    ],
    ids=["1d", "2d", "3d", "channels"],
)
def test_layer_refuses_other_shapes(layer, shape):
    with pytest.raises(ValueError, match=rf"^{layer.__name__}: input must have .*{shape[-1]}\)"):
        layer(3)(np.zeros(shape, np.float32))

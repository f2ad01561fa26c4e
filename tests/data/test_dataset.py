"""Dataset: checks, indexing, splitting, standardisation."""

import numpy as np
import pytest

from tenfold import data
from tenfold.data._dataset import from_bytes


def make(n=7, labels=None):
    x = np.arange(n * 2 * 3 * 5, dtype=np.float32).reshape(n, 2, 3, 5)
    return data.Dataset(x, np.arange(n) % 3 if labels is None else labels, name="toy")


def test_length_shape_and_names():
    d = make()
    assert len(d) == 7
    assert d.shape == (2, 3, 5)
    assert d.classes == ["0", "1", "2"]
    assert d.y.dtype == np.int64
    assert repr(d) == "Dataset('toy', 7 images of 2 x 3 x 5, 3 classes)"


def test_an_int_gives_an_image_and_its_label():
    x, y = make()[4]
    assert x.shape == (2, 3, 5)
    assert y == 1
    assert [label for _, label in make()] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    "index", [slice(1, 4), [1, 2, 3], np.array([1, 2, 3]), np.arange(7) % 2 == 1], ids=str
)
def test_a_selection_is_a_dataset(index):
    d = make()
    part = d[index]
    assert isinstance(part, data.Dataset)
    rows = np.arange(7)[np.asarray(index) if isinstance(index, list) else index]
    np.testing.assert_array_equal(part.x, d.x[rows])
    np.testing.assert_array_equal(part.y, d.y[rows])
    assert part.classes == d.classes


def test_split_keeps_every_class_in_proportion():
    d = data.Dataset(np.zeros((100, 1), np.float32), np.repeat([0, 1], [80, 20]))
    first, second = d.split(0.75, seed=3)
    assert np.bincount(first.y).tolist() == [60, 15]
    assert np.bincount(second.y).tolist() == [20, 5]


def test_split_divides_without_loss_and_is_the_same_for_the_same_seed():
    d = data.Dataset(np.arange(50, dtype=np.float32)[:, None], np.arange(50) % 5)
    first, second = d.split(0.6, seed=1)
    assert sorted([*first.x[:, 0], *second.x[:, 0]]) == list(range(50))
    np.testing.assert_array_equal(first.x, d.split(0.6, seed=1)[0].x)
    assert not np.array_equal(first.x, d.split(0.6, seed=2)[0].x)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_split_refuses_a_fraction_outside(fraction):
    with pytest.raises(ValueError, match=r"Dataset\.split: fraction must lie between 0 and 1.*received"):
        make().split(fraction)


def test_integer_images_are_refused():
    with pytest.raises(TypeError, match="x must be a float32 or float64 array; received dtype int64"):
        data.Dataset(np.zeros((2, 1), np.int64), [0, 1])


def test_floating_labels_are_refused():
    with pytest.raises(TypeError, match="y must be an integer array; received dtype float64"):
        data.Dataset(np.zeros((2, 1)), [0.0, 1.0])


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"with the same N; received \(2, 1\) and \(3,\)"):
        data.Dataset(np.zeros((2, 1)), [0, 1, 2])


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]], ids=["too large", "negative"])
def test_labels_without_a_class_are_refused(labels):
    with pytest.raises(ValueError, match=r"y must lie in 0\.\.2.*received labels from"):
        data.Dataset(np.zeros((2, 1)), labels, classes="abc")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardised_by_the_training_set_channel_by_channel(dtype):
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (1300, 3, 4, 5)).astype(np.uint8)
    x[:, 2] //= 3
    t = x[:11] // 2
    train, test = from_bytes(
        "toy", [(x, np.zeros(1300, np.uint8)), (t, np.zeros(11, np.uint8))], "a", 255, True, dtype
    )
    p = x / 255.0
    mean, std = p.mean((0, 2, 3)), p.std((0, 2, 3))
    np.testing.assert_allclose(train.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(train.std, std, rtol=1e-12)
    tolerance = 64 * np.finfo(dtype).eps
    shape = (1, 3, 1, 1)
    want = (t / 255.0 - mean.reshape(shape)) / std.reshape(shape)
    np.testing.assert_allclose(test.x, want, rtol=tolerance, atol=tolerance)
    assert train.x.dtype == test.x.dtype == dtype
    assert abs(train.x[:, 2].mean()) < 1e-5


def test_constant_images_do_not_divide_by_zero():
    x = np.full((3, 1, 2, 2), 7, np.uint8)
    (d,) = from_bytes("toy", [(x, np.zeros(3, np.uint8))], "a", 255, True, np.float32)
    assert np.all(d.x == 0)
    assert d.std == [1.0]

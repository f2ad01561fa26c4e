"""The embedded digits are the real ones, and split the same everywhere."""

import gzip
import hashlib
from importlib import resources

import numpy as np
import pytest

from tenfold import data

FILES = {
    "digits-images-idx3-ubyte.gz": "359cd13f0f514122884198b78a131df597421cbf5e93a76678fa96fc548f0d96",
    "digits-labels-idx1-ubyte.gz": "ce71631c1f31ce56fa54f31d1d498fafacff59b001e6c30c4a5e29508aa277ad",
}


@pytest.mark.parametrize(("name", "digest"), FILES.items(), ids=FILES)
def test_the_embedded_files_are_unchanged(name, digest):
    packed = resources.files("tenfold.data").joinpath(name).read_bytes()
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == digest


def test_they_are_small_and_attributed():
    folder = resources.files("tenfold.data")
    assert sum(len(folder.joinpath(name).read_bytes()) for name in FILES) < 100_000
    text = folder.joinpath("digits-LICENSE.txt").read_text()
    assert "Alpaydin" in text
    assert "CC BY 4.0" in text


def test_the_split_is_stratified_and_leaves_nothing_out():
    train, test = data.digits()
    assert (len(train), len(test)) == (1442, 355)
    whole = np.bincount(train.y) + np.bincount(test.y)
    assert whole.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(test.y).tolist() == [n // 5 for n in whole]


def test_pixels_are_sixteenths_before_and_standardised_after():
    raw, raw_test = data.digits(standardize=False)
    assert raw.mean is None
    assert np.array_equal(np.unique(raw.x * 16), np.arange(17))
    train, test = data.digits()
    assert train.x.shape == (1442, 1, 8, 8)
    assert abs(train.x.mean()) < 1e-6
    assert abs(train.x.std() - 1) < 1e-5
    np.testing.assert_allclose(test.x, (raw_test.x - train.mean[0]) / train.std[0], atol=1e-6)


def test_the_first_digit_is_the_zero_that_every_book_shows():
    train, _ = data.digits(standardize=False)
    assert train.y[0] == 0
    assert (train.x[0, 0] * 16).astype(int)[:3].tolist() == [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
    ]


def test_float64_on_request():
    assert data.digits(dtype=np.float64)[0].x.dtype == np.float64
    with pytest.raises(TypeError, match="digits: dtype must be float32 or float64; received int32"):
        data.digits(dtype=np.int32)


def test_load_by_name():
    assert len(data.load("digits")[1]) == 355
    with pytest.raises(ValueError, match=r"name must be one of digits, mnist.*received 'emnist'"):
        data.load("emnist")

"""IDX files: every type, packed or plain, and every kind of damage."""

import gzip
import struct

import numpy as np
import pytest

from tenfold import data
from tenfold.data._idx import read_images_and_labels


def idx(array, code=0x08):
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(path, content):
    path.write_bytes(content)
    return path


IMAGES = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
LABELS = np.array([3, 1], np.uint8)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")],
    ids=["uint8", "int8", "int16", "int32", "float32", "float64"],
)
def test_every_type_comes_back_in_native_order(tmp_path, code, dtype, packed):
    array = np.arange(-7, 8).reshape(3, 5).astype(dtype)
    content = idx(array, code)
    got = data.read_idx(write(tmp_path / "a", gzip.compress(content) if packed else content))
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype
    assert got.dtype.isnative


def test_an_empty_array_is_legal(tmp_path):
    assert data.read_idx(write(tmp_path / "a", idx(np.empty((0, 28, 28), np.uint8)))).shape == (0, 28, 28)


GOOD = idx(IMAGES)
DAMAGE = {
    "empty file": (b"", "must begin with the bytes 00 00, a type and a rank; received nothing"),
    "wrong magic": (b"\x89PNG" + GOOD[4:], "must begin with .*; received 89 50 4e 47"),
    "wrong type code": (GOOD[:2] + b"\x07" + GOOD[3:], "type code .* must be one of 08, .*; received 07"),
    "rank zero": (b"\0\0\x08\0", "rank .* must be at least 1; received 0"),
    "truncated header": (GOOD[:10], "truncated: its header has 3 extents of 4 bytes; received 6 bytes"),
    "truncated": (GOOD[:-1], "truncated: its header announces 2 x 3 x 5 .* 30 bytes; received 29"),
    "trailing bytes": (GOOD + b"\0", "trailing bytes: .* 30 bytes; received more than 30"),
    "product overflows": (b"\0\0\x08\x03" + b"\xff" * 12, "truncated: .*4294967295 x 4294967295"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("content", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named(tmp_path, content, message, packed):
    path = write(tmp_path / "broken", gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=message) as caught:
        data.read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("cut", [1, 12, 30], ids=["near the end", "in the trailer", "in the body"])
def test_a_cut_gzip_file_is_named(tmp_path, cut):
    path = write(tmp_path / "cut.gz", gzip.compress(GOOD)[:-cut])
    with pytest.raises(ValueError, match=r"cut\.gz is a damaged gzip file"):
        data.read_idx(path)


def test_a_flipped_bit_in_a_gzip_file_is_found(tmp_path):
    content = bytearray(gzip.compress(GOOD))
    content[-6] ^= 1  # the checksum
    with pytest.raises(ValueError, match="damaged gzip file"):
        data.read_idx(write(tmp_path / "bad.gz", bytes(content)))


def test_a_pair_must_be_as_long(tmp_path):
    images = write(tmp_path / "images", idx(IMAGES))
    labels = write(tmp_path / "labels", idx(np.array([3, 1, 2], np.uint8)))
    with pytest.raises(ValueError, match=r"received 2 images in .*images and 3 labels in .*labels"):
        read_images_and_labels(images, labels)


def test_a_pair_must_not_be_swapped(tmp_path):
    images = write(tmp_path / "images", idx(IMAGES))
    labels = write(tmp_path / "labels", idx(LABELS))
    with pytest.raises(
        ValueError, match=r"labels must hold images: uint8 of rank 3 .*received uint8 of rank 1"
    ):
        read_images_and_labels(labels, images)


def test_images_must_be_bytes(tmp_path):
    images = write(tmp_path / "images", idx(IMAGES.astype(np.float32), 0x0D))
    with pytest.raises(ValueError, match=r"must hold images: uint8 .*received float32 of rank 3"):
        read_images_and_labels(images, write(tmp_path / "labels", idx(LABELS)))

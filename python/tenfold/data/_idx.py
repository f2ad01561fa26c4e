"""IDX, the format of MNIST: a magic number, the extents, and the elements, big-endian."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an IDX file, plain or gzipped.

    The header is ``00 00 type rank`` and one big-endian 32-bit extent per axis; the types are 08 uint8, 09
    int8, 0B int16, 0C int32, 0D float32, 0E float64.

    Parameters
    ----------
    path : path-like
        Whether the file is gzipped is seen from its first two bytes, not from its name.

    Returns
    -------
    ndarray
        Of the shape and type in the header, in native byte order.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged: wrong magic, type or rank, fewer or more bytes than the header announces. The
        message names the file, what came and what is legal.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            if packed:
                with gzip.GzipFile(fileobj=file) as stream:
                    return _parse(cast("IO[bytes]", stream), path)
            return _parse(file, path)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"read_idx: {path} is a damaged gzip file ({error}); delete it and fetch it again"
            ) from None


def _parse(stream: IO[bytes], path: str) -> npt.NDArray[Any]:
    head = _read(stream, 4)
    if len(head) < 4 or head[:2] != b"\0\0":
        raise ValueError(
            f"read_idx: {path} is not an IDX file: it must begin with the bytes 00 00, a type and a rank; "
            f"received {head.hex(' ') or 'nothing'}"
        )
    code, rank = head[2], head[3]
    if code not in _DTYPES:
        legal = ", ".join(f"{c:02x}" for c in _DTYPES)
        raise ValueError(
            f"read_idx: the type code in {path} must be one of {legal} (hexadecimal); received {code:02x}"
        )
    if rank == 0:
        raise ValueError(f"read_idx: the rank in {path} must be at least 1; received 0")
    extents = _read(stream, 4 * rank)
    if len(extents) < 4 * rank:
        raise ValueError(
            f"read_idx: {path} is truncated: its header has {rank} extents of 4 bytes; "
            f"received {len(extents)} bytes"
        )
    shape = struct.unpack(f">{rank}I", extents)
    dtype = np.dtype(_DTYPES[code])
    expected = math.prod(shape) * dtype.itemsize
    body = _read(stream, expected + 1)
    if len(body) != expected:
        what = "is truncated" if len(body) < expected else "has trailing bytes"
        received = str(len(body)) if len(body) < expected else f"more than {expected}"
        raise ValueError(
            f"read_idx: {path} {what}: its header announces {' x '.join(map(str, shape))} elements of "
            f"{dtype.itemsize} byte{'s' * (dtype.itemsize > 1)}, {expected} bytes; received {received}"
        )
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read(stream: IO[bytes], count: int) -> bytes:
    """Read up to `count` bytes; a header that announces more than there is costs no memory."""
    chunks = []
    while count > 0 and (chunk := stream.read(min(count, _CHUNK))):
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


def read_images_and_labels(
    images: str | os.PathLike[str], labels: str | os.PathLike[str]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Read a pair of IDX files as MNIST has them.

    Returns
    -------
    (ndarray of shape (N, 1, H, W), ndarray of shape (N,)), uint8

    Raises
    ------
    ValueError
        If a file is damaged, is not of the type or rank expected, or the two have different lengths.
    """
    x, y = read_idx(images), read_idx(labels)
    for array, rank, path, what in ((x, 3, images, "images"), (y, 1, labels, "labels")):
        if array.dtype != np.uint8 or array.ndim != rank:
            raise ValueError(
                f"read_idx: {os.fspath(path)} must hold {what}: uint8 of rank {rank} (magic 00 00 08 "
                f"{rank:02x}); received {array.dtype} of rank {array.ndim}"
            )
    if len(x) != len(y):
        raise ValueError(
            f"read_idx: images and labels must be as many; received {len(x)} images in {os.fspath(images)} "
            f"and {len(y)} labels in {os.fspath(labels)}"
        )
    return x[:, None], y

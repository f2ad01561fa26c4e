"""The data sets: digits (embedded), MNIST, Fashion-MNIST, CIFAR-10, and folders of images."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._dataset import Dataset, from_bytes, standardized
from ._files import locate
from ._idx import read_images_and_labels

_HERE = Path(__file__).parent
_DIGITS = tuple("0123456789")
_GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_MNIST_FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_FASHION_FILES = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
_FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
_CIFAR_ARCHIVE = {
    "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
}
_CIFAR_MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
_CIFAR_RECORD = 1 + 3 * 32 * 32


def digits(standardize: bool = True, dtype: npt.DTypeLike = np.float32) -> tuple[Dataset, Dataset]:
    """Return the 1,797 handwritten digits that come with tenfold, 8 x 8 pixels, as (train, test).

    Every fifth image of a class is for the test: 1,442 and 355 images, the same on every machine. Pixels of
    0..16 become 0..1 and are then standardised.

    Parameters
    ----------
    standardize : bool
        Subtract the training set's mean and divide by its standard deviation.
    dtype : float32 or float64

    Returns
    -------
    (Dataset, Dataset)
        ``x`` of shape (N, 1, 8, 8).

    References
    ----------
    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998
    (CC BY 4.0): its test part, with the unchanged numbers.

    Examples
    --------
    >>> from tenfold import data
    >>> train, test = data.digits()
    >>> len(train), len(test), train.shape
    (1442, 355, (1, 8, 8))
    """
    x, y = read_images_and_labels(
        _HERE / "digits-images-idx3-ubyte.gz", _HERE / "digits-labels-idx1-ubyte.gz"
    )
    test = np.zeros(len(y), bool)
    for label in range(10):
        test[np.flatnonzero(y == label)[4::5]] = True
    parts = [(x[~test], y[~test]), (x[test], y[test])]
    first, second = from_bytes("digits", parts, _DIGITS, 16, standardize, dtype)
    return first, second


def mnist(
    directory: str | os.PathLike[str] | None = None,
    download: bool = True,
    standardize: bool = True,
    dtype: npt.DTypeLike = np.float32,
) -> tuple[Dataset, Dataset]:
    """Return MNIST, 60,000 and 10,000 handwritten digits of 28 x 28 pixels, as (train, test).

    Parameters
    ----------
    directory : path-like, optional
        The folder with the four IDX files, gzipped or plain. When not given they are sought in
        ``$TENFOLD_DATA/mnist``, ``$TENFOLD_DATA`` and the user's cache.
    download : bool
        Fetch what is not found, with a SHA-256 check, into the folder given or the user's cache.
    standardize : bool
        Subtract the training set's mean (0.1307) and divide by its standard deviation (0.3081); otherwise
        pixels are 0..1.
    dtype : float32 or float64

    Returns
    -------
    (Dataset, Dataset)
        ``x`` of shape (N, 1, 28, 28).

    Raises
    ------
    FileNotFoundError
        If the files are in none of the folders and cannot be downloaded; the message says what to do.
    ValueError
        If a file is damaged.
    """
    return _idx_pair("mnist", _MNIST_FILES, _MNIST_MIRRORS, _DIGITS, directory, download, standardize, dtype)


def fashion_mnist(
    directory: str | os.PathLike[str] | None = None,
    download: bool = True,
    standardize: bool = True,
    dtype: npt.DTypeLike = np.float32,
) -> tuple[Dataset, Dataset]:
    """Return Fashion-MNIST, 60,000 and 10,000 garments of 28 x 28 pixels, as (train, test).

    Parameters
    ----------
    directory : path-like, optional
        The folder with the four IDX files, gzipped or plain. When not given they are sought in
        ``$TENFOLD_DATA/fashion_mnist``, ``$TENFOLD_DATA`` and the user's cache.
    download, standardize, dtype
        As in :func:`mnist`.

    Returns
    -------
    (Dataset, Dataset)
        ``x`` of shape (N, 1, 28, 28).

    Raises
    ------
    FileNotFoundError
        If the files are in none of the folders and cannot be downloaded; the message says what to do.
    ValueError
        If a file is damaged.
    """
    return _idx_pair(
        "fashion_mnist", _FASHION_FILES, _FASHION_MIRRORS, _GARMENTS, directory, download, standardize, dtype
    )


def _idx_pair(
    name: str,
    files: dict[str, str],
    mirrors: Sequence[str],
    classes: Sequence[str],
    directory: str | os.PathLike[str] | None,
    download: bool,
    standardize: bool,
    dtype: npt.DTypeLike,
) -> tuple[Dataset, Dataset]:
    paths = locate(name, files, mirrors, directory, download)
    parts = [read_images_and_labels(*paths[:2]), read_images_and_labels(*paths[2:])]
    for (x, _), images in zip(parts, paths[::2]):
        if x.shape[2:] != (28, 28) or not len(x):
            raise ValueError(
                f"{name}: {images} must hold images of 28 x 28; received an array of shape {x[:, 0].shape}"
            )
    train, test = from_bytes(name, parts, classes, 255, standardize, dtype)
    return train, test


def cifar10(
    directory: str | os.PathLike[str] | None = None,
    download: bool = True,
    standardize: bool = True,
    dtype: npt.DTypeLike = np.float32,
) -> tuple[Dataset, Dataset]:
    """Return CIFAR-10, 50,000 and 10,000 colour photographs of 32 x 32 pixels, as (train, test).

    Parameters
    ----------
    directory : path-like, optional
        The folder with ``cifar-10-binary.tar.gz``, the archive of the binary version. When not given it is
        sought in ``$TENFOLD_DATA/cifar10``, ``$TENFOLD_DATA`` and the user's cache.
    download, standardize, dtype
        As in :func:`mnist`.

    Returns
    -------
    (Dataset, Dataset)
        ``x`` of shape (N, 3, 32, 32).

    Raises
    ------
    FileNotFoundError
        If the archive is in none of the folders and cannot be downloaded; the message says what to do.
    ValueError
        If the archive is damaged.
    """
    (archive,) = locate("cifar10", _CIFAR_ARCHIVE, _CIFAR_MIRRORS, directory, download)
    batches: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.name.endswith(".bin") else None
                if stream is not None:
                    batches[Path(member.name).name] = stream.read()
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"cifar10: {archive} is damaged ({error}); delete it and fetch it again") from None
    wanted = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    if missing := [name for name in wanted if name not in batches]:
        raise ValueError(f"cifar10: {archive} must hold {', '.join(wanted)}; it has no {', '.join(missing)}")
    records = [_cifar_records(batches[name], f"{archive}:{name}") for name in wanted]
    train_x, train_y = (np.concatenate(arrays) for arrays in zip(*records[:-1]))
    train, test = from_bytes("cifar10", [(train_x, train_y), records[-1]], _CIFAR10, 255, standardize, dtype)
    return train, test


def _cifar_records(body: bytes, where: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Split a batch into images (N, 3, 32, 32) and labels (N,): a label byte, then 3 x 32 x 32 pixels."""
    if not body or len(body) % _CIFAR_RECORD:
        raise ValueError(
            f"cifar10: {where} must be a whole number of records of {_CIFAR_RECORD} bytes; "
            f"received {len(body)} bytes"
        )
    records = np.frombuffer(body, np.uint8).reshape(-1, _CIFAR_RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def image_folder(
    directory: str | os.PathLike[str],
    size: int | tuple[int, int] = 28,
    channels: int = 1,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> Dataset:
    """Read a folder with one sub-folder of images (PNG, JPEG, …) per class.

    Needs Pillow. Images are read in the order of their names, the classes are the names of the sub-folders,
    sorted.

    Parameters
    ----------
    directory : path-like
    size : int or (H, W)
        Every image is resized to this.
    channels : {1, 3}
        Grey or colour.
    mean, std : sequence of float, optional
        Standardise with these, one per channel, on the scale 0..1; the mean and the standard deviation of the
        images read here when not given.
    dtype : float32 or float64

    Returns
    -------
    Dataset
        ``x`` of shape (N, channels, H, W).

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there is no image in it, or channels is neither 1 nor 3.
    """
    from ._image import read_pixels

    root = Path(directory).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"image_folder: there is no folder {root}")
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    suffixes = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
    extent = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    images: list[npt.NDArray[Any]] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        for path in sorted((root / name).iterdir()):
            if path.suffix.lower() in suffixes:
                images.append(np.round(read_pixels(path, extent, channels) * 255).astype(np.uint8))
                labels.append(label)
    if not images:
        raise ValueError(f"image_folder: {root} must have one sub-folder of images per class; found no image")
    pixels, y = np.stack(images), np.asarray(labels, np.int64)
    if mean is None or std is None:
        return from_bytes(root.name, [(pixels, y)], classes, 255, True, dtype)[0]
    x = standardized(pixels.astype(dtype) / np.dtype(dtype).type(255), mean, std, dtype)
    return Dataset(x, y, classes, mean, std, root.name)


SOURCES = {"digits": digits, "mnist": mnist, "fashion_mnist": fashion_mnist, "cifar10": cifar10}


def load(
    name: str, directory: str | os.PathLike[str] | None = None, **options: Any
) -> tuple[Dataset, Dataset]:
    """Return (train, test) of a data set by its name: digits, mnist, fashion_mnist or cifar10.

    Parameters
    ----------
    name : str
    directory : path-like, optional
        See :func:`mnist`; ``digits`` needs none.
    **options
        Passed on: download, standardize, dtype.

    Raises
    ------
    ValueError
        If there is no data set of this name.
    """
    if name not in SOURCES:
        raise ValueError(f"data.load: name must be one of {', '.join(SOURCES)}; received {name!r}")
    if name == "digits":
        return digits(**options)
    return SOURCES[name](directory, **options)  # type: ignore[operator,no-any-return]

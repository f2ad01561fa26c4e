"""Dataset: images and labels in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_BLOCK = 512  # images


class Dataset:
    """Images with labels.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W) or (N, *), float32 or float64
        The images, one per row.
    y : ndarray of shape (N,), integers
        The labels, ``0 <= y < len(classes)``.
    classes : sequence of str, optional
        The name of every class; ``"0"``, ``"1"``, … up to the largest label when not given.
    mean, std : sequence of float, optional
        What ``x`` was standardised with, one per channel and on the scale where the darkest pixel is 0 and
        the brightest 1: ``x = (pixel - mean) / std``. ``None`` when ``x`` holds plain pixels.
    name : str
        For messages and run folders.

    Raises
    ------
    TypeError
        If x is not a floating or y not an integer array.
    ValueError
        If lengths differ, or a label has no class.

    Examples
    --------
    >>> from tenfold import data
    >>> train, test = data.digits()
    >>> train
    Dataset('digits', 1442 images of 1 x 8 x 8, 10 classes)
    >>> test.x.shape, test.y.shape
    ((355, 1, 8, 8), (355,))
    """

    def __init__(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        classes: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        name: str = "data",
    ) -> None:
        images, labels = np.asarray(x), np.asarray(y)
        if images.dtype not in (np.float32, np.float64):
            raise TypeError(f"Dataset: x must be a float32 or float64 array; received dtype {images.dtype}")
        if labels.dtype.kind not in "iu":
            raise TypeError(f"Dataset: y must be an integer array; received dtype {labels.dtype}")
        if images.ndim < 1 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"Dataset: x must be of shape (N, ...) and y of shape (N,) with the same N; "
                f"received {images.shape} and {labels.shape}"
            )
        count = int(labels.max()) + 1 if labels.size else 0
        names = [str(c) for c in classes] if classes is not None else [str(c) for c in range(count)]
        if labels.size and (labels.min() < 0 or count > len(names)):
            raise ValueError(
                f"Dataset: y must lie in 0..{len(names) - 1}, one name in classes for each; "
                f"received labels from {labels.min()} to {labels.max()}"
            )
        self.x: Array = images
        self.y: Array = labels.astype(np.int64, copy=False)
        self.classes: list[str] = names
        self.mean: list[float] | None = None if mean is None else [float(m) for m in np.atleast_1d(mean)]
        self.std: list[float] | None = None if std is None else [float(s) for s in np.atleast_1d(std)]
        self.name = name

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Any) -> Any:
        """Return ``(image, label)`` for an int, a Dataset for a slice, a mask or an array of indices."""
        if isinstance(index, (int, np.integer)):
            return self.x[index], int(self.y[index])
        index = np.asarray(index) if isinstance(index, list) else index
        return Dataset(self.x[index], self.y[index], self.classes, self.mean, self.std, self.name)

    def __iter__(self) -> Iterator[tuple[Array, int]]:
        for i in range(len(self)):
            yield self.x[i], int(self.y[i])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W)."""
        return tuple(self.x.shape[1:])

    def split(self, fraction: float = 0.8, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Split into two parts, at random and class by class.

        Parameters
        ----------
        fraction : float
            The share of the first part, between 0 and 1; every class is divided in this proportion.
        seed : int
            The same seed gives the same parts.

        Returns
        -------
        (Dataset, Dataset)
            Views of nothing: the images are copied. Each part keeps the order of this dataset.

        Raises
        ------
        ValueError
            If the fraction is not between 0 and 1.
        """
        if not 0 < fraction < 1:
            raise ValueError(
                f"Dataset.split: fraction must lie between 0 and 1, both excluded; received {fraction}"
            )
        generator = np.random.default_rng(seed)
        first = np.zeros(len(self), bool)
        for label in range(len(self.classes)):
            members = generator.permutation(np.flatnonzero(self.y == label))
            first[members[: round(fraction * len(members))]] = True
        return self[first], self[~first]

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape)) or "1"
        return f"Dataset({self.name!r}, {len(self)} images of {size}, {len(self.classes)} classes)"


def standardized(
    pixels: Array, mean: Sequence[float], std: Sequence[float], dtype: npt.DTypeLike = np.float32
) -> Array:
    """Return ``(pixels - mean) / std``, channel by channel.

    Parameters
    ----------
    pixels : ndarray of shape (N, C, *)
    mean, std : sequence of float
        One number per channel.
    dtype : float32 or float64

    Returns
    -------
    ndarray of shape (N, C, *)
        A new array.
    """
    shape = (1, -1) + (1,) * (pixels.ndim - 2)
    shift, scale = np.asarray(mean).reshape(shape), np.asarray(std).reshape(shape)
    # One pass over the large array instead of three in float64.
    out = pixels.astype(dtype)
    out -= shift.astype(dtype)
    out *= (1.0 / scale).astype(dtype)
    return out


def from_bytes(
    name: str,
    parts: Sequence[tuple[Array, Array]],
    classes: Sequence[str],
    scale: int,
    standardize: bool,
    dtype: npt.DTypeLike,
) -> tuple[Dataset, ...]:
    """Make datasets from uint8 images (N, C, H, W) with pixels in 0..scale; the first is the training set.

    The mean and the standard deviation of the training set, per channel, are taken from a histogram: exact
    and cheap.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: dtype must be float32 or float64; received {dtype}")
    values = np.arange(256) / scale
    if not standardize:
        table = values.astype(dtype)
        return tuple(Dataset(table[x], y, classes, name=name) for x, y in parts)
    mean, std = [], []
    first = parts[0][0]
    for channel in range(first.shape[1]):
        # Blocks: bincount and take make 8-byte indices of their bytes.
        count = np.zeros(256)
        for i in range(0, len(first), _BLOCK):
            count += np.bincount(first[i : i + _BLOCK, channel].ravel(), minlength=256)
        m = float(count @ values / count.sum())
        mean.append(m)
        std.append(float(np.sqrt(count @ (values - m) ** 2 / count.sum())) or 1.0)
    tables = [((values - m) / s).astype(dtype) for m, s in zip(mean, std)]
    datasets = []
    for x, y in parts:
        out = np.empty(x.shape, dtype)
        for i in range(0, len(x), _BLOCK):
            for channel, table in enumerate(tables):
                out[i : i + _BLOCK, channel] = table[x[i : i + _BLOCK, channel]]
        datasets.append(Dataset(out, y, classes, mean, std, name))
    return tuple(datasets)

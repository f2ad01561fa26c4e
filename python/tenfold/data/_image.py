"""Image files for prediction, brought to what the model was trained on. Pillow is imported when needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._dataset import standardized

Array = npt.NDArray[Any]

# How a data set frames its objects: the share of the image that the longer side of the object fills, and what
# lies in the middle of the image. MNIST: 20 of 28 pixels, centre of mass. Digits: the whole height, the
# bounding box.
FRAMING: dict[str, tuple[float, str]] = {
    "digits": (1.0, "box"),
    "mnist": (20 / 28, "mass"),
    "fashion_mnist": (1.0, "box"),
}
_INK = 0.2  # below this share of the darkest ink a pixel is paper


def _pillow() -> Any:
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise ImportError(
            'reading images needs Pillow: pip install "tenfold[cli]" or pip install pillow'
        ) from None
    return PIL


def _open(path: str | os.PathLike[str], mode: str) -> Any:
    """Open an image upright, transparent parts on white paper, in mode L or RGB."""
    pil = _pillow()
    try:
        with pil.Image.open(path) as file:
            image = pil.ImageOps.exif_transpose(file)
            if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = pil.Image.alpha_composite(pil.Image.new("RGBA", image.size, "white"), image)
            elif image.mode.startswith("I") or image.mode == "F":  # 16 bits: bring to 8 without clipping
                values = np.asarray(image, np.float64)
                top = 65535.0 if values.max() > 255 else 255.0
                image = pil.Image.fromarray(np.uint8(np.clip(values / top, 0, 1) * 255))
            return image.convert(mode)
    except FileNotFoundError:
        raise FileNotFoundError(f"load_image: there is no file {os.fspath(path)}") from None
    except (pil.UnidentifiedImageError, SyntaxError, EOFError) as error:
        raise ValueError(
            f"load_image: {os.fspath(path)} is not an image that Pillow can read ({error})"
        ) from None
    except (OSError, pil.Image.DecompressionBombError) as error:
        raise ValueError(f"load_image: {os.fspath(path)} cannot be read ({error})") from None


def _pixels(image: Any) -> Array:
    """Return an image as (C, H, W) in 0..1."""
    array = np.asarray(image, np.float64) / 255.0
    return array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)


def read_pixels(path: str | os.PathLike[str], size: tuple[int, int], channels: int) -> Array:
    """Return an image file, stretched to `size` (H, W), as (channels, H, W) in 0..1."""
    if channels not in (1, 3):
        raise ValueError(f"load_image: channels must be 1 or 3; received {channels}")
    image = _open(path, "L" if channels == 1 else "RGB")
    if image.size != size[::-1]:
        image = image.resize(size[::-1], _pillow().Image.Resampling.BILINEAR)
    return _pixels(image)


def load_image(
    path: str | os.PathLike[str],
    shape: Sequence[int] = (1, 28, 28),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    invert: bool | None = None,
    fill: float = 20 / 28,
    center: str = "mass",
) -> Array:
    """Read a PNG, JPEG, … file as a model trained on handwriting expects it.

    A file of exactly the model's size is taken as it is. Any other grey image is made to look like the
    training data: the ink is cut out, resized with its aspect kept so that its longer side fills `fill` of
    the image, and put in the middle. Dark ink on bright paper is inverted. A colour image is resized with its
    aspect kept.

    Parameters
    ----------
    path : path-like
    shape : (C, H, W)
        The model's input; C is 1 (grey) or 3 (colour).
    mean, std : sequence of float, optional
        The training set's, one per channel, on the scale 0..1.
    invert : bool, optional
        Whether to invert; by default a grey image is inverted when its border is brighter than half.
    fill : float
        20/28 for MNIST, 1 for the embedded digits.
    center : {"mass", "box"}
        What is put in the middle: the centre of mass of the ink, or its bounding box.

    Returns
    -------
    ndarray of shape (C, H, W), float32

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no image that Pillow can read, or an argument is not one of the above.
    ImportError
        If Pillow is not installed.
    """
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1:
        raise ValueError(f"load_image: shape must be (1, H, W) or (3, H, W); received {tuple(shape)}")
    if not 0 < fill <= 1:
        raise ValueError(f"load_image: fill must lie in (0, 1]; received {fill}")
    if center not in ("mass", "box"):
        raise ValueError(f"load_image: center must be 'mass' or 'box'; received {center!r}")
    channels, height, width = shape
    image = _open(path, "L" if channels == 1 else "RGB")
    pixels = _pixels(image)
    if channels == 1:
        border = np.concatenate([pixels[0, 0], pixels[0, -1], pixels[0, :, 0], pixels[0, :, -1]])
        if invert if invert is not None else np.median(border) > 0.5:
            pixels, border = 1 - pixels, 1 - border
        if pixels.shape[1:] != (height, width):
            pixels = _frame(pixels[0], float(np.median(border)), (height, width), fill, center)[None]
    else:
        if invert:
            pixels = 1 - pixels
        if pixels.shape[1:] != (height, width):
            pixels = np.stack([_fit(p, (height, width), 1.0, float(np.median(p)), "box") for p in pixels])
    if mean is not None and std is not None:
        pixels = standardized(pixels[None], mean, std, np.float64)[0]
    return pixels.astype(np.float32)


def load_images(
    paths: Iterable[str | os.PathLike[str]], shape: Sequence[int] = (1, 28, 28), **options: Any
) -> Array:
    """Read several files with :func:`load_image`; return an array of shape (N, C, H, W)."""
    images = [load_image(path, shape, **options) for path in paths]
    return np.stack(images) if images else np.empty((0, *shape), np.float32)


def _frame(ink: Array, paper: float, size: tuple[int, int], fill: float, center: str) -> Array:
    """Cut the ink out of a grey image (H, W) and put it into `size` as the training data has it."""
    ink = np.clip(ink - paper, 0, None)
    if ink.max() < 1 / 255:
        return np.zeros(size)
    ink /= ink.max()
    rows, columns = (np.flatnonzero((ink > _INK).any(axis)) for axis in (1, 0))
    return _fit(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], size, fill, 0.0, center)


def _fit(plane: Array, size: tuple[int, int], fill: float, background: float, center: str) -> Array:
    """Resize a plane, aspect kept, so that it fits into `fill` of `size`, and place it in the middle."""
    pil = _pillow()
    scale = min(fill * size[0] / plane.shape[0], fill * size[1] / plane.shape[1])
    height, width = (max(1, min(round(scale * n), limit)) for n, limit in zip(plane.shape, size))
    small = pil.Image.fromarray(plane.astype(np.float32)).resize(
        (width, height), pil.Image.Resampling.BILINEAR
    )
    values = np.clip(np.asarray(small, np.float64), 0, 1)
    out = np.full(size, background)
    place = [(limit - n) / 2 for n, limit in zip((height, width), size)]
    if center == "mass" and values.sum() > 0:
        for axis in (0, 1):
            weights = values.sum(1 - axis)
            middle = float(weights @ (np.arange(len(weights)) + 0.5) / weights.sum())
            place[axis] = size[axis] / 2 - middle
    top, left = (int(np.clip(round(at), 0, limit - n)) for at, n, limit in zip(place, (height, width), size))
    out[top : top + height, left : left + width] = values
    return out

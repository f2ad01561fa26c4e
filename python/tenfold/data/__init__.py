"""Data sets in memory: the embedded digits, MNIST and friends, readers, and images for prediction."""

from ._dataset import Dataset, standardized
from ._files import cache_directory
from ._idx import read_idx
from ._image import load_image, load_images
from ._sources import cifar10, digits, fashion_mnist, image_folder, load, mnist

__all__ = [
    "Dataset",
    "cache_directory",
    "cifar10",
    "digits",
    "fashion_mnist",
    "image_folder",
    "load",
    "load_image",
    "load_images",
    "mnist",
    "read_idx",
    "standardized",
]

"""Write the embedded digits: python/tenfold/data/digits-{images-idx3,labels-idx1}-ubyte.gz.

Run from the root of the checkout with scikit-learn installed. It ships the test part of the UCI data set
"Optical Recognition of Handwritten Digits" in the original order; here it becomes a pair of IDX files, the
format of MNIST.
"""

import gzip
import struct
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

DIRECTORY = Path(__file__).parent.parent / "python" / "tenfold" / "data"


def write(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array as gzipped IDX, the same bytes on every run."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), 9, mtime=0))


digits = load_digits()
write(DIRECTORY / "digits-images-idx3-ubyte.gz", digits.images.astype(np.uint8))
write(DIRECTORY / "digits-labels-idx1-ubyte.gz", digits.target.astype(np.uint8))

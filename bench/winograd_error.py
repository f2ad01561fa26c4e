"""Print the largest errors of the direct form and of Winograd's F(2x2) and F(4x4), the table of docs/numerics.md.

``python bench/winograd_error.py``: an error is the largest over an output of a layer, against the same convolution
in float64, relative to the largest magnitude of that output.
"""

from __future__ import annotations

import numpy as np

from tenfold import functional as F

# N, C, F, H and W
LAYERS = {
    "U-Net 32": (1, 32, 32, 64),
    "VGG 1-2": (1, 64, 64, 224),
    "VGG 2-2": (1, 128, 128, 112),
    "VGG 3-2": (1, 256, 256, 56),
    "VGG 4-2": (1, 512, 512, 28),
    "VGG 5-1": (1, 512, 512, 14),
    "ResNet 2b": (4, 64, 64, 56),
    "ResNet 3b": (4, 128, 128, 28),
    "ResNet 4b": (4, 256, 256, 14),
    "ResNet 5b": (4, 512, 512, 7),
}
INPUTS = {
    "normal": lambda z: z,
    "after ReLU": lambda z: np.maximum(z, 0),
    "image": lambda z: 0.5 + 0.2 * z,  # far from 0 on average
}
WEIGHTS = {
    "normal": lambda z: z,
    "positive": np.abs,  # nothing cancels
}
FORMS = ["direct", "winograd2", "winograd4"]


def errors(x: np.ndarray, w: np.ndarray, transposed: bool) -> list[float]:
    """Return the largest error of each form; the input gradient is a transposed convolution."""
    function = F.conv_transpose2d if transposed else F.conv2d
    exact = function(x.astype(np.float64), w.astype(np.float64), padding=1, algorithm="im2col")
    return [
        float(np.max(np.abs(function(x, w, padding=1, algorithm=form) - exact)) / np.max(np.abs(exact)))
        for form in FORMS
    ]


def main() -> None:
    """Print the table and the worst ratios."""
    print("| layer | input | weights | pass | direct | F(2x2) | F(4x4) | F(2x2) / direct | F(4x4) / direct |")
    print("|---|---|---|---|---|---|---|---|---|")
    worst = [0.0, 0.0]
    for name, (images, channels, filters, size) in LAYERS.items():
        rng = np.random.default_rng(0)
        z = rng.standard_normal((images, channels, size, size))
        v = rng.standard_normal((filters, channels, 3, 3)) / np.sqrt(9 * channels)
        for kind, of_input in INPUTS.items():
            for sign, of_weights in WEIGHTS.items():
                for transposed in (False, True):
                    if transposed and (kind != "normal" or sign != "normal"):
                        continue
                    x, w = of_input(z).astype(np.float32), of_weights(v).astype(np.float32)
                    direct, two, four = errors(x, w, transposed)
                    worst = [max(worst[0], two / direct), max(worst[1], four / direct)]
                    print(
                        f"| {name} | {kind} | {sign} | {'input gradient' if transposed else 'forward'} "
                        f"| {direct:.1e} | {two:.1e} | {four:.1e} | {two / direct:.2f} | {four / direct:.2f} |",
                        flush=True,
                    )
    print(f"\nLargest ratio to direct: F(2x2) {worst[0]:.2f}, F(4x4) {worst[1]:.2f}")


if __name__ == "__main__":
    main()

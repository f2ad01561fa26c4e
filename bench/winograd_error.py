"""Print the largest errors of the direct form and of Winograd's F(2x2) and F(4x4), the table of docs/numerics.md.

``python bench/winograd_error.py``: an error is the largest over an output of a layer, against the same convolution
in float64, relative to the largest magnitude of that output.
"""

from __future__ import annotations

import numpy as np

import tenfold
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


def passes(x: np.ndarray, w: np.ndarray, form: str) -> dict[str, np.ndarray]:
    """Return the output of a layer and its gradients; dy is like the input of a layer with w's filters."""
    y, pull = tenfold.vjp(lambda x, w: F.conv2d(x, w, padding=1, algorithm=form), x, w)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
    dx, dw = pull(dy)
    return {"forward": y, "input gradient": dx, "weight gradient": dw}


def main() -> None:
    """Print the table and the worst ratios."""
    print("| layer | input | weights | pass | direct | F(2x2) | F(4x4) | F(2x2) / direct | F(4x4) / direct |")
    print("|---|---|---|---|---|---|---|---|---|")
    worst: dict[str, list[float]] = {}
    for name, (images, channels, filters, size) in LAYERS.items():
        rng = np.random.default_rng(0)
        z = rng.standard_normal((images, channels, size, size))
        v = rng.standard_normal((filters, channels, 3, 3)) / np.sqrt(9 * channels)
        for kind, of_input in INPUTS.items():
            for sign, of_weights in WEIGHTS.items():
                x, w = of_input(z).astype(np.float32), of_weights(v).astype(np.float32)
                exact = passes(x.astype(np.float64), w.astype(np.float64), "im2col")
                found = {form: passes(x, w, form) for form in FORMS}
                for direction, wanted in exact.items():
                    if direction == "input gradient" and kind != "normal":
                        continue  # it does not depend on the input
                    if direction == "weight gradient" and sign != "normal":
                        continue  # nor this on the weights
                    direct, two, four = (
                        float(np.max(np.abs(found[form][direction] - wanted)) / np.max(np.abs(wanted)))
                        for form in FORMS
                    )
                    largest = worst.setdefault(direction, [0.0, 0.0])
                    largest[:] = max(largest[0], two / direct), max(largest[1], four / direct)
                    print(
                        f"| {name} | {kind} | {sign} | {direction} | {direct:.1e} | {two:.1e} | {four:.1e} "
                        f"| {two / direct:.2f} | {four / direct:.2f} |",
                        flush=True,
                    )
    print()
    for direction, (two, four) in worst.items():
        print(f"Largest ratio to direct, {direction}: F(2x2) {two:.2f}, F(4x4) {four:.2f}")


if __name__ == "__main__":
    main()

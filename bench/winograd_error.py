"""Print the largest errors of the direct form and of Winograd's forms, the tables of docs/numerics.md.

``python bench/winograd_error.py``: an error is the largest over an output of a layer, against the same convolution
in float64, relative to the largest magnitude of that output. ``python bench/winograd_error.py lanes``: the same for
small layers inside a compiled chain, which run with the batch in the vector lanes and choose their form by cost.
``python bench/winograd_error.py draws``: how the ratio of F(4x4)'s error to the direct form's is distributed.
``python bench/winograd_error.py gradients``: the largest ratio of the chosen weight gradient for many layers.
"""

from __future__ import annotations

import itertools
import sys
from typing import NamedTuple

import numpy as np

import tenfold
from tenfold import functional as F


class Layer(NamedTuple):
    """A square convolution; padding keeps the size, or half of it."""

    name: str
    images: int
    channels: int
    filters: int
    size: int
    kernel: int = 3
    stride: int = 1


LAYERS = [
    Layer("8 channels", 4, 8, 16, 64),
    Layer("16 channels", 4, 16, 16, 64),
    Layer("U-Net 32", 1, 32, 32, 64),
    Layer("VGG 1-2", 1, 64, 64, 224),
    Layer("VGG 2-2", 1, 128, 128, 112),
    Layer("VGG 3-2", 1, 256, 256, 56),
    Layer("VGG 4-2", 1, 512, 512, 28),
    Layer("VGG 5-1", 1, 512, 512, 14),
    Layer("ResNet 2b", 4, 64, 64, 56),
    Layer("ResNet 3b", 4, 128, 128, 28),
    Layer("ResNet 4b", 4, 256, 256, 14),
    Layer("ResNet 5b", 4, 512, 512, 7),
    Layer("8 images of 16x16", 8, 16, 16, 16),
    Layer("16 images of 16x16", 16, 32, 32, 16),
    Layer("40 images of 14x14", 40, 32, 32, 14),
    Layer("16 images of 8x8", 16, 64, 64, 8),
    Layer("64 images of 8x8", 64, 64, 64, 8),
    Layer("5x5, 4 channels", 4, 4, 32, 40, 5),
    Layer("5x5, 16 channels", 4, 16, 32, 32, 5),
    Layer("AlexNet 2", 4, 64, 192, 27, 5),
    Layer("stride 2, 16 channels", 4, 16, 32, 32, 3, 2),
    Layer("ResNet 3b2", 1, 128, 128, 56, 3, 2),
    Layer("ResNet 4b2", 1, 256, 256, 28, 3, 2),
    Layer("4x4 stride 2, 16 channels", 4, 16, 32, 32, 4, 2),
    Layer("DCGAN 3", 16, 128, 256, 16, 4, 2),
    Layer("stride 2, 64 images of 16x16", 64, 128, 128, 16, 3, 2),
]
LANE_LAYERS = [
    Layer("1 to 16", 32, 1, 16, 28),
    Layer("3 to 16", 32, 3, 16, 32),
    Layer("8 to 24, 8x8", 32, 8, 24, 8),
    Layer("8 to 24, 16x16", 32, 8, 24, 16),
    Layer("16 to 3", 32, 16, 3, 32),
    Layer("CIFAR 16", 32, 16, 16, 32),
    Layer("CIFAR 32", 32, 32, 32, 16),
    Layer("LeNet-5 1", 64, 1, 6, 28, 5),
    Layer("3 to 16, 5x5", 32, 3, 16, 32, 5),
    Layer("LeNet-5 2", 64, 6, 16, 14, 5),
    Layer("16 to 3, 5x5", 32, 16, 3, 32, 5),
    Layer("16 to 32, 5x5", 32, 16, 32, 16, 5),
]
INPUTS = {
    "normal": lambda z: z,
    "after ReLU": lambda z: np.maximum(z, 0),
    "image": lambda z: 0.5 + 0.2 * z,  # far from 0 on average
}
WEIGHTS = {
    "normal": lambda z: z,
    "positive": np.abs,  # nothing cancels
}


def forms(layer: Layer) -> dict[str, str]:
    """Return Winograd's forms of a layer: title, algorithm."""
    if layer.stride == 2:
        return {"stride 2": "winograd"}
    if layer.kernel == 5:
        return {"F(2x2, 5x5)": "winograd2", "F(4x4, 5x5)": "winograd4"}
    return {"F(2x2)": "winograd2", "F(4x4)": "winograd4"}


def passes(
    layer: Layer, x: np.ndarray, w: np.ndarray, algorithm: str, *, lanes: bool = False
) -> dict[str, np.ndarray]:
    """Return the output of a layer and its gradients; dy is like the input of a layer with w's filters."""
    padding = (layer.kernel - 1) // 2

    def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        if not lanes:
            return F.conv2d(x, w, stride=layer.stride, padding=padding, algorithm=algorithm)
        # Between two layers of 1x1 that change nothing, and round nothing, it is a chain that runs in lanes.
        before, after = (np.eye(c, dtype=w.dtype)[:, :, None, None] for c in (layer.channels, layer.filters))
        y = F.conv2d(F.conv2d(x, before), w, stride=layer.stride, padding=padding, algorithm=algorithm)
        return F.conv2d(y, after)

    y, pull = tenfold.vjp(convolve, x, w)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
    dx, dw = pull(dy)
    return {"forward": y, "input gradient": dx, "weight gradient": dw}


def main(*, lanes: bool) -> None:
    """Print the table and the worst ratios."""
    print("| layer | input | weights | pass | form | direct | Winograd | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    worst: dict[tuple[str, str], tuple[float, str]] = {}
    for layer in LANE_LAYERS if lanes else LAYERS:
        rng = np.random.default_rng(0)
        taps = layer.kernel**2
        z = rng.standard_normal((layer.images, layer.channels, layer.size, layer.size))
        v = rng.standard_normal((layer.filters, layer.channels, layer.kernel, layer.kernel)) / np.sqrt(
            taps * layer.channels
        )
        for kind, of_input in INPUTS.items():
            for sign, of_weights in WEIGHTS.items():
                x, w = of_input(z).astype(np.float32), of_weights(v).astype(np.float32)
                exact = passes(layer, x.astype(np.float64), w.astype(np.float64), "im2col")
                direct = passes(layer, x, w, "direct", lanes=lanes)
                tried = {"lanes": "auto"} if lanes else forms(layer) | {"chosen": "auto"}
                for form, algorithm in tried.items():
                    found = passes(layer, x, w, algorithm, lanes=lanes)
                    for direction, wanted in exact.items():
                        if direction == "input gradient" and kind != "normal":
                            continue  # it does not depend on the input
                        if direction == "weight gradient" and sign != "normal":
                            continue  # nor this on the weights
                        if np.array_equal(found[direction], direct[direction]):
                            continue  # the direct form was chosen, or there is no other

                        def error(of: dict[str, np.ndarray]) -> float:
                            return float(np.max(np.abs(of[direction] - wanted)) / np.max(np.abs(wanted)))  # noqa: B023

                        ratio = error(found) / error(direct)
                        worst[form, direction] = max(
                            worst.get((form, direction), (0.0, "")), (ratio, layer.name)
                        )
                        print(
                            f"| {layer.name} | {kind} | {sign} | {direction} | {form} | {error(direct):.1e} "
                            f"| {error(found):.1e} | {ratio:.2f} |",
                            flush=True,
                        )
    print()
    for (form, direction), (ratio, name) in worst.items():
        print(f"Largest ratio to direct, {form}, {direction}: {ratio:.2f} ({name})")


def error_of(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest error; all that is compared is relative to the same magnitude."""
    return float(np.max(np.abs(found - exact)))


def draws() -> None:
    """Print how F(4x4)'s ratio to the direct form is distributed, forward."""
    for channels in (16, 18, 20, 24, 32):
        ratios = []
        for filters, (images, size), kind, sign, seed in itertools.product(
            (16, 32, 64),
            ((1, 16), (8, 16), (4, 14), (16, 8), (1, 56)),
            ("normal", "after ReLU"),
            WEIGHTS,
            range(10),
        ):
            rng = np.random.default_rng(seed)
            x = INPUTS[kind](rng.standard_normal((images, channels, size, size))).astype(np.float32)
            w = WEIGHTS[sign](rng.standard_normal((filters, channels, 3, 3))).astype(np.float32)
            exact = F.conv2d(x.astype(np.float64), w.astype(np.float64), padding=1, algorithm="im2col")
            direct, tiles = (F.conv2d(x, w, padding=1, algorithm=a) for a in ("direct", "winograd4"))
            ratios.append(error_of(tiles, exact) / error_of(direct, exact))
        median, nine, most = np.quantile(ratios, (0.5, 0.9, 1))
        print(
            f"{channels} channels, {len(ratios)} draws: median {median:.1f}, nine of ten {nine:.1f}, largest "
            f"{most:.1f}, above 4: {sum(r > 4 for r in ratios)}",
            flush=True,
        )


def weight_gradient(x: np.ndarray, w: np.ndarray, dy: np.ndarray, stride: int, algorithm: str) -> np.ndarray:
    """Return dw of a convolution whose padding makes outputs of the input's size over the stride."""
    padding = (w.shape[-1] - 1) // 2
    _, pull = tenfold.vjp(lambda w: F.conv2d(x, w, stride=stride, padding=padding, algorithm=algorithm), w)
    return pull(dy)[0]


def gradients() -> None:
    """Print the largest ratios to the direct form of the chosen weight gradients, where that is another one."""
    sizes = ((2, 8), (8, 8), (16, 8), (64, 8), (3, 14), (12, 14), (40, 14), (1, 16), (2, 16), (4, 16), (8, 16),
             (16, 16), (32, 16), (64, 16), (5, 28), (1, 32), (2, 32), (4, 32), (16, 32), (1, 56))  # fmt: skip
    layers: dict[str, int] = {}
    worst: dict[str, tuple[float, str]] = {}
    for (stride, kernel), (channels, filters), (images, size) in itertools.product(
        ((1, 3), (1, 5), (2, 3), (2, 4)), ((16, 16), (32, 32), (16, 64), (64, 17), (128, 128)), sizes
    ):
        window = f"{kernel}x{kernel} windows, stride {stride}"
        layers[window] = layers.get(window, 0) + 1
        for kind, seed in itertools.product(("normal", "after ReLU", "positive"), range(4)):
            rng = np.random.default_rng(seed)
            z = rng.standard_normal((images, channels, stride * size, stride * size))
            w = np.ones((filters, channels, kernel, kernel), np.float32)
            dy = rng.standard_normal((images, filters, size, size)).astype(np.float32)
            x = (np.abs(z) if kind == "positive" else INPUTS[kind](z)).astype(np.float32)
            dy = np.abs(dy) if kind == "positive" else dy

            chosen, direct = (weight_gradient(x, w, dy, stride, a) for a in ("auto", "direct"))
            if np.array_equal(chosen, direct):
                break
            exact = weight_gradient(*(a.astype(np.float64) for a in (x, w, dy)), stride, "im2col")
            ratio = error_of(chosen, exact) / error_of(direct, exact)
            name = f"{images} x {channels} x {stride * size} x {stride * size} by {filters}, {kind}"
            worst[window] = max(worst.get(window, (0.0, "")), (ratio, name))
    for window, (ratio, name) in worst.items():
        print(
            f"Largest ratio to direct of {layers[window]} layers' weight gradients, {window}: {ratio:.2f} ({name})"
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["draws"]:
            draws()
        case ["gradients"]:
            gradients()
        case other:
            main(lanes=other == ["lanes"])

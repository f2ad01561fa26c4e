"""The models and their registry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from .. import functional as F
from .. import nn

_SMALL = 16  # below this side, LeNet-5's windows would see next to nothing


def _side(image_size: int | Sequence[int], function: str, least: int) -> tuple[int, int]:
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(int(n) for n in image_size)
    if len(size) != 2 or min(size) < least:
        raise ValueError(
            f"{function}: image_size must be one or two ints of at least {least}; received {image_size!r}"
        )
    return size


def lenet5(
    num_classes: int = 10, in_channels: int = 1, image_size: int | Sequence[int] = 28
) -> nn.Sequential:
    r"""Return LeNet-5 with ReLU and max-pooling, for images of (in_channels, image_size, image_size).

    Images of 28 are padded to 32 by the first convolution, images of 32 and more are taken as they are::

        Conv2d(C, 6, 5, padding=2)  ReLU  MaxPool2d(2)
        Conv2d(6, 16, 5)            ReLU  MaxPool2d(2)  Flatten
        Linear(400, 120)            ReLU  Linear(120, 84)  ReLU  Linear(84, 10)

    Below 16 pixels (the embedded digits have 8) the windows are 3 x 3 with padding 1 and the image is halved
    once, so that as much is left for the same three linear layers::

        Conv2d(C, 6, 3, padding=1)  ReLU
        Conv2d(6, 16, 3, padding=1) ReLU  MaxPool2d(2)  Flatten
        Linear(256, 120)            ReLU  Linear(120, 84)  ReLU  Linear(84, 10)

    Parameters
    ----------
    num_classes, in_channels : int
    image_size : int or (H, W)
        At least 4.

    Returns
    -------
    Sequential
        From (N, in_channels, H, W) to logits (N, num_classes).

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 86 (1998) 2278-2324. The original squashes with tanh and averages instead of
    taking maxima.
    """
    height, width = _side(image_size, "lenet5", 4)
    if min(height, width) < _SMALL:
        features = [
            nn.Conv2d(in_channels, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        left = [n // 2 for n in (height, width)]
    else:
        padding = 2 if min(height, width) < 32 else 0
        features = [
            nn.Conv2d(in_channels, 6, 5, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        left = [((n + 2 * padding - 4) // 2 - 4) // 2 for n in (height, width)]
    return nn.Sequential(
        *features,
        nn.Flatten(),
        nn.Linear(16 * math.prod(left), 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Return a multi-layer perceptron: linear layers of the given sizes with ReLU between them.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden units layer by layer, outputs; ``(784, 128, 10)`` has one hidden layer. Images are
        flattened.

    Returns
    -------
    Sequential
        From (N, ...) with sizes[0] numbers per sample to (N, sizes[-1]).

    Raises
    ------
    ValueError
        If there are fewer than two sizes.

    Examples
    --------
    >>> from tenfold import models
    >>> models.mlp((784, 128, 10)).num_parameters()
    101770
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"mlp: sizes must be two or more positive ints; received {sizes!r}")
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def linear(num_classes: int = 10, in_features: int = 784) -> nn.Sequential:
    """Return softmax regression: one linear layer on the flattened image.

    Parameters
    ----------
    num_classes, in_features : int

    Returns
    -------
    Sequential
        From (N, ...) with in_features numbers per sample to logits (N, num_classes).

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> from tenfold import models
    >>> models.linear(10, 784).num_parameters()
    7850
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(in_features, num_classes))


class _Residual(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation beside a short cut: relu(f(x) + x)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = (
            nn.Sequential()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: Any) -> Any:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet(
    num_classes: int = 10, in_channels: int = 1, widths: Sequence[int] = (16, 32, 64), blocks: int = 1
) -> nn.Sequential:
    """Return a small residual network that ends in global average pooling, for images of any size.

    Parameters
    ----------
    num_classes, in_channels : int
    widths : sequence of int
        Channels of every stage; each stage but the first halves the image.
    blocks : int
        Residual blocks per stage: 3 with the default widths is the ResNet-20 of the paper.

    Returns
    -------
    Sequential
        From (N, in_channels, H, W) to logits (N, num_classes).

    Raises
    ------
    ValueError
        If there is no stage or no block.

    Notes
    -----
    K. He, X. Zhang, S. Ren and J. Sun, Deep residual learning for image recognition, CVPR 2016.
    """
    if not widths or min(widths) < 1 or blocks < 1:
        raise ValueError(
            f"resnet: widths must be positive ints and blocks at least 1; received {widths!r} and {blocks!r}"
        )
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    inputs = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(_Residual(inputs, width, 2 if stage and not block else 1))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, num_classes))


MODELS: dict[str, Callable[[int, tuple[int, ...]], nn.Sequential]] = {
    "lenet5": lambda classes, shape: lenet5(classes, shape[0], shape[1:]),
    "mlp": lambda classes, shape: mlp((math.prod(shape), 128, 64, classes)),
    "linear": lambda classes, shape: linear(classes, math.prod(shape)),
    "resnet": lambda classes, shape: resnet(classes, shape[0]),
}


def create(name: str, num_classes: int = 10, input_shape: Sequence[int] = (1, 28, 28)) -> nn.Sequential:
    """Return a model by its name.

    Parameters
    ----------
    name : {"lenet5", "mlp", "linear", "resnet"}
        ``mlp`` has hidden layers of 128 and 64 units.
    num_classes : int
    input_shape : (C, H, W)

    Returns
    -------
    Sequential
        From (N, C, H, W) to logits (N, num_classes).

    Raises
    ------
    ValueError
        If there is no model of this name.

    Examples
    --------
    >>> from tenfold import models
    >>> models.create("lenet5").num_parameters()
    61706
    """
    if name not in MODELS:
        raise ValueError(f"models.create: name must be one of {', '.join(MODELS)}; received {name!r}")
    if len(input_shape) != 3:
        raise ValueError(f"models.create: input_shape must be (C, H, W); received {tuple(input_shape)}")
    return MODELS[name](int(num_classes), tuple(int(n) for n in input_shape))

"""The ready models have the layers, shapes and names that they promise."""

import numpy as np
import pytest

from tenfold import models


def shapes(model):
    return {name: array.shape for name, array in model.state_dict().items()}


def test_lenet5_is_the_sequential_of_the_readme():
    model = models.lenet5()
    kinds = [type(layer).__name__ for layer in model]
    assert kinds == ["Conv2d", "ReLU", "MaxPool2d"] * 2 + ["Flatten"] + ["Linear", "ReLU"] * 2 + ["Linear"]
    assert shapes(model) == {
        "0.weight": (6, 1, 5, 5),
        "0.bias": (6,),
        "3.weight": (16, 6, 5, 5),
        "3.bias": (16,),
        "7.weight": (120, 400),
        "7.bias": (120,),
        "9.weight": (84, 120),
        "9.bias": (84,),
        "11.weight": (10, 84),
        "11.bias": (10,),
    }
    assert model.num_parameters() == 61_706


@pytest.mark.parametrize(
    ("channels", "size", "features"),
    [(1, 8, 256), (1, 28, 400), (3, 32, 400), (1, 15, 784), (1, 16, 64), (2, (28, 36), 560)],
    ids=["digits", "mnist", "cifar", "largest small", "smallest large", "not square"],
)
def test_lenet5_fits_every_image_size(channels, size, features):
    model = models.lenet5(7, channels, size)
    linear = next(a for a in model.state_dict().values() if a.ndim == 2)
    assert linear.shape == (120, features)
    height, width = (size, size) if isinstance(size, int) else size
    x = np.zeros((2, channels, height, width), np.float32)
    assert model(x).shape == (2, 7)


@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 19)], ids=str)
def test_every_registered_model_runs(name, shape):
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    model = models.create(name, 5, shape).eval()
    y = model(x)
    assert y.shape == (3, 5)
    assert np.isfinite(y).all()


def test_mlp_has_the_sizes_given():
    assert [s for s in shapes(models.mlp((6, 5, 4, 3))).values() if len(s) == 2] == [(5, 6), (4, 5), (3, 4)]


def test_resnet_with_three_blocks_has_twenty_weighted_layers():
    model = models.resnet(10, 3, blocks=3)
    weights = [n for n, s in shapes(model).items() if len(s) in (2, 4) and "shortcut" not in n]
    assert len(weights) == 20


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.lenet5(image_size=3), "lenet5: image_size must be .* at least 4; received 3"),
        (lambda: models.lenet5(image_size=(28, 28, 28)), "one or two ints"),
        (lambda: models.mlp((3,)), "mlp: sizes must be two or more positive ints"),
        (lambda: models.resnet(widths=()), "resnet: widths must be positive"),
        (lambda: models.create("vgg"), "must be one of lenet5, .*; received 'vgg'"),
        (lambda: models.create("mlp", 10, (8, 8)), r"input_shape must be \(C, H, W\); received \(8, 8\)"),
    ],
    ids=["small", "rank", "mlp", "resnet", "name", "shape"],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Ready models: LeNet-5, multi-layer perceptrons, softmax regression, a small residual network."""

from ._models import MODELS, create, lenet5, linear, mlp, resnet

__all__ = ["MODELS", "create", "lenet5", "linear", "mlp", "resnet"]

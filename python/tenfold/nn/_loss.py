"""Softmax layers and losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ._module import Module


class Softmax(Module):
    """Shares that add up to 1 along an axis; see :func:`tenfold.functional.softmax`.

    Parameters
    ----------
    axis : int
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def extra_repr(self) -> str:
        return f"axis={self.axis}"

    def forward(self, input: Any) -> Any:
        return F.softmax(input, self.axis)


class LogSoftmax(Module):
    """The logarithm of softmax; see :func:`tenfold.functional.log_softmax`.

    Parameters
    ----------
    axis : int
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def extra_repr(self) -> str:
        return f"axis={self.axis}"

    def forward(self, input: Any) -> Any:
        return F.log_softmax(input, self.axis)


class _ClassLoss(Module):
    """What losses over classes share: the weights, which are no part of saved states."""

    def __init__(self, weight: Any, ignore_index: int, reduction: str) -> None:
        super().__init__()
        self.weight = None if weight is None else np.asarray(weight)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def _weight_of(self, input: Any) -> Any:
        """Return the weights in the dtype of the input."""
        return None if self.weight is None else self.weight.astype(input.dtype)

    def extra_repr(self) -> str:
        return f"ignore_index={self.ignore_index}, reduction={self.reduction!r}"


class CrossEntropyLoss(_ClassLoss):
    """Softmax and cross-entropy in one; see :func:`tenfold.functional.cross_entropy`.

    Parameters
    ----------
    weight : ndarray of shape (C,), optional
        One factor per class.
    ignore_index : int
    reduction : {"mean", "sum", "none"}
    label_smoothing : float
    """

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        self.label_smoothing = label_smoothing

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, label_smoothing={self.label_smoothing}"

    def forward(self, input: Any, target: Any) -> Any:
        return F.cross_entropy(
            input, target, self._weight_of(input), self.ignore_index, self.reduction, self.label_smoothing
        )


class NLLLoss(_ClassLoss):
    """Negative log-likelihood of labels, given log-probabilities; see :func:`tenfold.functional.nll_loss`.

    Parameters
    ----------
    weight : ndarray of shape (C,), optional
        One factor per class.
    ignore_index : int
    reduction : {"mean", "sum", "none"}
    """

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, ignore_index, reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return F.nll_loss(input, target, self._weight_of(input), self.ignore_index, self.reduction)


class _PointwiseLoss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class MSELoss(_PointwiseLoss):
    """Mean squared error; see :func:`tenfold.functional.mse_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    """

    def forward(self, input: Any, target: Any) -> Any:
        return F.mse_loss(input, target, self.reduction)


class L1Loss(_PointwiseLoss):
    """Mean absolute error; see :func:`tenfold.functional.l1_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    """

    def forward(self, input: Any, target: Any) -> Any:
        return F.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_PointwiseLoss):
    """Absolute error with a rounded tip; see :func:`tenfold.functional.smooth_l1_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    beta : float
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> Any:
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_PointwiseLoss):
    """Squared error that turns into the absolute error; see :func:`tenfold.functional.huber_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    delta : float
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Any:
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(_PointwiseLoss):
    """Cross-entropy of yes-or-no probabilities; see :func:`tenfold.functional.binary_cross_entropy`.

    Parameters
    ----------
    weight : ndarray that broadcasts to the input's shape, optional
    reduction : {"mean", "sum", "none"}
    """

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = weight

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_PointwiseLoss):
    """Sigmoid and cross-entropy in one; see :func:`tenfold.functional.binary_cross_entropy_with_logits`.

    Parameters
    ----------
    weight : ndarray that broadcasts to the input's shape, optional
    reduction : {"mean", "sum", "none"}
    pos_weight : ndarray that broadcasts to the input's shape, optional
        The weight of a yes.
    """

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.weight = weight
        self.pos_weight = pos_weight

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)

"""Losses, and the metrics and encodings that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..graph import Symbol, Variable, apply
from . import _arithmetic, _reduce
from ._arguments import Tensor, int_tensor, integer, number, tensor


def _reduction(reduction: str, function: str) -> str:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{function}: reduction must be 'mean', 'sum' or 'none'; received {reduction!r}")
    return reduction


def _target(value: Any, function: str) -> Tensor:
    """Return labels as int64, or shares (any floating array) as they are."""
    if isinstance(value, (Symbol, Variable)):
        return value
    if np.asarray(value).dtype.kind == "f":
        return tensor(value, function, "target")
    return int_tensor(value, function, "target")


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Return the cross-entropy between softmax(input) and the target, fused: softmax and logarithm in one.

    With labels y, class weights w and smoothing :math:`\epsilon`, the loss of one prediction is

    .. math::
        \ell = -\sum_c a_c \log \mathrm{softmax}(x)_c, \qquad
        a_c = w_c \left((1 - \epsilon) [c = y] + \frac{\epsilon}{C}\right)

    (the second term of :math:`a` for all c alike), and its gradient is :math:`p \sum_c a_c - a` with
    p = softmax(x): without weights, p - a.

    Parameters
    ----------
    input : ndarray of shape (N, C, \*) or (C,), float32 or float64
        Scores of C classes (logits), no softmax applied.
    target : ndarray of shape (N, \*) or () of integers, or of the input's shape and dtype
        Labels from 0 to C - 1; or the share of every class, :math:`t_c` instead of :math:`[c = y]`. A
        gradient is given for `input` only.
    weight : ndarray of shape (C,), optional
        One factor per class.
    ignore_index : int
        Positions with this label count nothing.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of :math:`w_y` over the labels that count, or, for shares, by the number
        of predictions; it is NaN when nothing counts.
    label_smoothing : float
        From 0 to 1.

    Returns
    -------
    ndarray
        Of shape (), or (N, \*) for ``"none"``.

    Raises
    ------
    TypeError
        If the input is not floating, or the target neither integer nor of the input's dtype.
    ValueError
        If shapes do not fit or a label is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> loss = F.cross_entropy(np.array([[0.0, 0.0], [0.0, 1000.0]]), np.array([0, 1]))
    >>> bool(np.isclose(loss, np.log(2) / 2))
    True
    """
    name = "cross_entropy"
    inputs = [tensor(input, name, "input"), _target(target, name)]
    if weight is not None:
        inputs.append(tensor(weight, name, "weight"))
    attributes = {
        "ignore_index": integer(ignore_index, name, "ignore_index"),
        "reduction": _reduction(reduction, name),
        "label_smoothing": number(label_smoothing, "cross_entropy", "label_smoothing"),
    }
    return apply(name, inputs, attributes)[0]  # type: ignore[no-any-return]


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r"""Return the negative log-likelihood of labels, given log-probabilities.

    .. math:: \ell = -w_y x_y

    ``nll_loss(log_softmax(x, axis=1), y)`` is ``cross_entropy(x, y)``.

    Parameters
    ----------
    input : ndarray of shape (N, C, \*) or (C,), float32 or float64
        Log-probabilities.
    target : ndarray of shape (N, \*) or (), integers
        Labels from 0 to C - 1.
    weight, ignore_index, reduction
        As for :func:`cross_entropy`.

    Returns
    -------
    ndarray
        Of shape (), or (N, \*) for ``"none"``.

    Raises
    ------
    TypeError
        If the input is not floating or the target not integer.
    ValueError
        If shapes do not fit or a label is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> float(F.nll_loss(np.array([[-1.0, -2.0], [-3.0, -4.0]]), np.array([1, 0])))
    2.5
    """
    name = "nll_loss"
    inputs = [tensor(input, name, "input"), int_tensor(target, name, "target")]
    if weight is not None:
        inputs.append(tensor(weight, name, "weight"))
    attributes = {
        "ignore_index": integer(ignore_index, name, "ignore_index"),
        "reduction": _reduction(reduction, name),
    }
    return apply(name, inputs, attributes)[0]  # type: ignore[no-any-return]


def _pointwise(name: str, input: Tensor, target: Tensor, reduction: str, **parameters: float) -> Tensor:
    attributes = {
        "reduction": _reduction(reduction, name),
        **{k: number(v, name, k) for k, v in parameters.items()},
    }
    return apply(name, [tensor(input, name, "input"), tensor(target, name, "target")], attributes)[0]  # type: ignore[no-any-return]


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    r"""Return the squared error :math:`(x - t)^2`, averaged over all elements.

    Parameters
    ----------
    input, target : ndarray of one shape and dtype, float32 or float64
        Both have gradients.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    ndarray
        Of shape (), or the input's for ``"none"``.

    Raises
    ------
    TypeError
        If an argument is not a floating array, or the dtypes differ.
    ValueError
        If the shapes differ: nothing is broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> float(F.mse_loss(np.array([1.0, 3.0]), np.zeros(2)))
    5.0
    """
    return _pointwise("mse_loss", input, target, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    r"""Return the absolute error :math:`|x - t|`, averaged over all elements; its derivative at 0 is 0.

    Parameters
    ----------
    input, target, reduction
        As for :func:`mse_loss`.

    Returns
    -------
    ndarray
        Of shape (), or the input's for ``"none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`mse_loss` does.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> float(F.l1_loss(np.array([1.0, -3.0]), np.zeros(2)))
    2.0
    """
    return _pointwise("l1_loss", input, target, reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    r"""Return the absolute error with a rounded tip.

    .. math::
        \ell = \begin{cases} d^2 / (2 \beta) & |d| < \beta \\ |d| - \beta / 2 & \text{else} \end{cases}
        \qquad d = x - t

    Parameters
    ----------
    input, target, reduction
        As for :func:`mse_loss`.
    beta : float
        Where the parabola ends; 0 gives :func:`l1_loss`.

    Returns
    -------
    ndarray
        Of shape (), or the input's for ``"none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`mse_loss` does; and if beta is negative.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.smooth_l1_loss(np.array([0.5, 3.0]), np.zeros(2), reduction="none")
    array([0.125, 2.5  ])
    """
    return _pointwise("smooth_l1_loss", input, target, reduction, beta=beta)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    r"""Return the squared error that turns into the absolute error at a distance.

    .. math::
        \ell = \begin{cases} d^2 / 2 & |d| \le \delta \\ \delta (|d| - \delta / 2) & \text{else} \end{cases}
        \qquad d = x - t

    Parameters
    ----------
    input, target, reduction
        As for :func:`mse_loss`.
    delta : float
        Where the parabola ends; positive.

    Returns
    -------
    ndarray
        Of shape (), or the input's for ``"none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`mse_loss` does; and if delta is not positive.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics, 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.huber_loss(np.array([1.0, 4.0]), np.zeros(2), reduction="none", delta=2.0)
    array([0.5, 6. ])
    """
    return _pointwise("huber_loss", input, target, reduction, delta=delta)


def _weighted(
    losses: Any, factors: Sequence[tuple[str, Any]], shape: tuple[int, ...], reduction: str, function: str
) -> Tensor:
    """Multiply the losses of single elements by broadcast factors, then reduce them."""
    for argument, value in factors:
        factor = tensor(value, function, argument)
        lead = len(shape) - len(factor.shape)
        if lead < 0 or any(f not in (1, n) for f, n in zip(factor.shape, shape[lead:])):
            raise ValueError(
                f"{function}: {argument} must broadcast to the shape of input, {shape}; received {factor.shape}"
            )
        losses = _arithmetic.mul(losses, factor)
    if reduction == "none":
        return losses  # type: ignore[no-any-return]
    return _reduce.mean(losses) if reduction == "mean" else _reduce.sum(losses)  # type: ignore[no-any-return]


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    r"""Return the cross-entropy of yes-or-no probabilities.

    .. math:: \ell = -w \left(t \log x + (1 - t) \log (1 - x)\right)

    The logarithms are bounded below by -100, so that 0 and 1 are legal.
    :func:`binary_cross_entropy_with_logits` loses no digits.

    Parameters
    ----------
    input : ndarray, float32 or float64
        Probabilities from 0 to 1; the loss of any other number is NaN.
    target : ndarray of the input's shape and dtype
        Shares from 0 to 1.
    weight : ndarray that broadcasts to the input's shape, optional
        w; a mean divides by the number of elements all the same.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    ndarray
        Of shape (), or the input's for ``"none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`mse_loss` does.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> bool(np.isclose(F.binary_cross_entropy(np.array([0.5]), np.array([1.0])), np.log(2)))
    True
    """
    name = "binary_cross_entropy"
    if weight is None:
        return _pointwise(name, input, target, reduction)
    losses = _pointwise(name, input, target, "none")
    return _weighted(losses, [("weight", weight)], tuple(input.shape), _reduction(reduction, name), name)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    r"""Return the cross-entropy of sigmoid(input), computed so that nothing overflows or cancels.

    .. math::
        \ell = w \left(p\, t \log (1 + e^{-x}) + (1 - t) \log (1 + e^x)\right), \qquad
        \frac{d\ell}{dx} = \mathrm{sigmoid}(x) - t \text{ for } w = p = 1

    Parameters
    ----------
    input : ndarray, float32 or float64
        Scores (logits), no sigmoid applied.
    target : ndarray of the input's shape and dtype
        Shares from 0 to 1.
    weight : ndarray that broadcasts to the input's shape, optional
        w; a mean divides by the number of elements all the same.
    reduction : {"mean", "sum", "none"}
    pos_weight : ndarray that broadcasts to the input's shape, optional
        p, the weight of a yes.

    Returns
    -------
    ndarray
        Of shape (), or the input's for ``"none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`mse_loss` does.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.binary_cross_entropy_with_logits(np.array([-1000.0, 1000.0]), np.zeros(2), reduction="none")
    array([   0., 1000.])
    """
    name = "binary_cross_entropy_with_logits"
    if weight is None and pos_weight is None:
        return _pointwise(name, input, target, reduction)
    shape = tuple(input.shape)
    weights = [] if weight is None else [("weight", weight)]
    losses: Any = _pointwise(name, input, target, "none")
    if pos_weight is not None:
        # p t yes + (1 - t) no = the two weighted alike, t yes + (1 - t) no, and (p - 1) t yes
        yes = _pointwise(name, input, np.ones(shape, input.dtype), "none")
        more = _arithmetic.sub(tensor(pos_weight, name, "pos_weight"), 1.0)
        extra = [("target", target), ("pos_weight", more)]
        losses = _arithmetic.add(losses, _weighted(yes, extra, shape, "none", name))
    return _weighted(losses, weights, shape, _reduction(reduction, name), name)


def accuracy(input: Tensor, target: Tensor, k: int = 1, ignore_index: int = -100) -> Tensor:
    """Return the share of predictions whose label is among the k highest scores.

    Parameters
    ----------
    input : ndarray of shape (N, C, *) or (C,), float32 or float64
        Scores of C classes. Of equal scores the first is the higher one; a label whose score is NaN is
        missed.
    target : ndarray of shape (N, *) or (), integers
        Labels from 0 to C - 1.
    k : int
        From 1 to C.
    ignore_index : int
        Positions with this label are left out.

    Returns
    -------
    ndarray of shape ()
        From 0 to 1, of the input's dtype; NaN when nothing counts. It has no gradient.

    Raises
    ------
    TypeError
        If the input is not floating or the target not integer.
    ValueError
        If shapes do not fit, a label or k is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> float(F.accuracy(np.array([[1.0, 2.0], [4.0, 3.0]]), np.array([1, 1])))
    0.5
    """
    attributes = {
        "k": integer(k, "accuracy", "k"),
        "ignore_index": integer(ignore_index, "accuracy", "ignore_index"),
    }
    inputs = [tensor(input, "accuracy", "input"), int_tensor(target, "accuracy", "target")]
    return apply("accuracy", inputs, attributes)[0]  # type: ignore[no-any-return]


def one_hot(labels: Tensor, num_classes: int = -1, *, dtype: npt.DTypeLike = np.int64) -> Tensor:
    r"""Turn labels into rows of zeros with a single one.

    .. math:: y_{\ldots, c} = [c = \mathrm{labels}_{\ldots}]

    Parameters
    ----------
    labels : ndarray of any shape, integers
    num_classes : int
        The new last axis's extent; -1 takes the largest label plus 1 (of arrays, not of symbols).
    dtype : dtype
        int64 as in PyTorch, or float32 / float64, to be used as a target of :func:`cross_entropy`.

    Returns
    -------
    ndarray of shape (\*labels.shape, num_classes)

    Raises
    ------
    TypeError
        If the labels are not integers, or the dtype is none of these.
    ValueError
        If a label is negative or not below num_classes.

    Examples
    --------
    >>> import numpy as np
    >>> from tenfold import functional as F
    >>> F.one_hot(np.array([0, 2]))
    array([[1, 0, 0],
           [0, 0, 1]])
    """
    labels = int_tensor(labels, "one_hot", "labels")
    count = integer(num_classes, "one_hot", "num_classes")
    if count == -1:
        if isinstance(labels, Symbol) or labels.size == 0:
            raise ValueError(
                "one_hot: num_classes must be given for no labels, or labels not known yet; received -1"
            )
        count = int(np.max(labels)) + 1
        if np.min(labels) < 0:
            raise ValueError(f"one_hot: labels must be at least 0; received {int(np.min(labels))}")
    if np.dtype(dtype) not in (np.float32, np.float64, np.int64):
        raise TypeError(f"one_hot: dtype must be int64, float32 or float64; received {np.dtype(dtype)}")
    attributes = {"num_classes": count, "dtype": np.dtype(dtype).name}
    return apply("one_hot", [labels], attributes)[0]  # type: ignore[no-any-return]

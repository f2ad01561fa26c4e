"""Optimisers: thin objects around the core's formulas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .. import _core
from ..graph import Array, Variable
from ._schedule import Schedule, learning_rates, real


class Optimizer:
    """Base of the optimisers: a learning rate (a float or a schedule) and a formula of the core.

    An optimiser is made without parameters. A ``Trainer`` gives it the model's, as one flat vector; in a loop
    of one's own, :meth:`step` is called with parameters and gradients.

    Attributes
    ----------
    lr : float or function of (step, total_steps)
        May be changed between steps.
    core : object
        The formula, compiled.
    state : list of ndarray or None
        What a Trainer's flat parameter vector needs between steps; created by the Trainer.
    """

    def __init__(self, lr: Any, core: Any, settings: Mapping[str, Any]) -> None:
        name = type(self).__name__
        if not callable(lr):
            if isinstance(lr, (str, bytes)) or not np.isscalar(lr):
                raise TypeError(
                    f"{name}: lr must be a float, or a function of (step, total_steps); received {lr!r}"
                )
            lr = float(lr)  # type: ignore[arg-type]
            if not (lr >= 0 and math.isfinite(lr)):
                raise ValueError(f"{name}: lr must be finite and at least 0; received {lr!r}")
        self.lr = lr
        self.core = core
        self.settings = dict(settings)
        self.state: list[Array] | None = None
        self.steps = 0  # taken by step()
        self._states: dict[Any, list[Array]] = {}

    @property
    def state_count(self) -> int:
        """How many arrays of the parameters' size are kept between steps."""
        return int(self.core.state_count)

    def rates(self, first_step: int, count: int, total_steps: int) -> Array:
        """Return the learning rates of `count` steps from `first_step` on, float64 of shape (count,).

        Raises
        ------
        ValueError
            If a schedule gives a rate that is negative or not finite.
        """
        return learning_rates(self.lr, np.arange(first_step, first_step + count), total_steps)

    def step(self, parameters: Any, gradients: Any, total_steps: int | None = None) -> None:
        """Change parameters in place by their gradients: one step of a loop of one's own.

        Parameters
        ----------
        parameters : Parameter, ndarray, or a list / dict of these
            float32 or float64, writeable.
        gradients : the same structure
            Of the parameters' shapes and dtypes.
        total_steps : int, optional
            The length of the training, for schedules that depend on it.

        Raises
        ------
        ValueError
            If structures or shapes differ, or a parameter is read-only. Nothing has been changed then.
        TypeError
            If a dtype is wrong.

        Examples
        --------
        >>> import numpy as np
        >>> from tenfold import optim
        >>> w = np.array([1.0, 2.0])
        >>> optimizer = optim.SGD(lr=0.5)
        >>> optimizer.step([w], [np.array([2.0, -2.0])])
        >>> w
        array([0., 3.])
        """
        function = f"{type(self).__name__}.step"
        pairs = list(_pairs(parameters, gradients, function))
        for name, parameter, gradient in pairs:
            _check(name, parameter, gradient, function)
        total = self.steps + 1 if total_steps is None else int(total_steps)
        rate = float(self.rates(self.steps, 1, total)[0])
        for name, parameter, gradient in pairs:
            states = self._states.get(name)
            if states is None:
                states = [np.zeros(parameter.shape, parameter.dtype) for _ in range(self.state_count)]
            elif any(s.shape != parameter.shape or s.dtype != parameter.dtype for s in states):
                raise ValueError(
                    f"{function}: parameter {name!r} must keep its shape and dtype between steps; "
                    f"received {parameter.dtype} {parameter.shape}"
                )
            self._states[name] = states
            work = np.ascontiguousarray(parameter)
            self.core.step(work, np.ascontiguousarray(gradient), states, rate, self.steps)
            if work is not parameter:
                parameter[...] = work
        self.steps += 1

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in {"lr": self.lr, **self.settings}.items())
        return f"{type(self).__name__}({settings})"


def _pairs(parameters: Any, gradients: Any, function: str) -> Iterable[tuple[Any, Array, Any]]:
    if isinstance(parameters, Mapping):
        if not isinstance(gradients, Mapping) or set(parameters) != set(gradients):
            received = sorted(gradients) if isinstance(gradients, Mapping) else type(gradients).__name__
            raise ValueError(
                f"{function}: gradients must have the keys {sorted(parameters)}; received {received}"
            )
        keys = list(parameters)
        values, grads = [parameters[key] for key in keys], [gradients[key] for key in keys]
    elif isinstance(parameters, (np.ndarray, Variable)):
        keys, values, grads = [0], [parameters], [gradients]
    else:
        values, grads = list(parameters), list(gradients)
        keys = list(range(len(values)))
        if len(values) != len(grads):
            raise ValueError(
                f"{function}: gradients must be one per parameter, {len(values)}; received {len(grads)}"
            )
    for key, value, grad in zip(keys, values, grads):
        yield key, value.data if isinstance(value, Variable) else value, grad


def _check(name: Any, parameter: Any, gradient: Any, function: str) -> None:
    for what, array in (("parameter", parameter), ("gradient", gradient)):
        if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
            received = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(
                f"{function}: {what} {name!r} must be a float32 or float64 array; received {received}"
            )
    if gradient.dtype != parameter.dtype:
        raise TypeError(
            f"{function}: gradient {name!r} must have the parameter's dtype, {parameter.dtype}; "
            f"received {gradient.dtype}"
        )
    if gradient.shape != parameter.shape:
        raise ValueError(
            f"{function}: gradient {name!r} must have the parameter's shape, {parameter.shape}; "
            f"received {gradient.shape}"
        )
    if not parameter.flags.writeable:
        raise ValueError(f"{function}: parameter {name!r} must be writeable; received a read-only array")


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum if wanted.

    .. math::
        g &= \nabla + \lambda p \\
        b &\leftarrow \mu b + (1 - \tau) g \qquad (b = g \text{ at the first step}) \\
        p &\leftarrow p - \mathrm{lr} \cdot b \qquad (\text{Nesterov: } p - \mathrm{lr} (g + \mu b))

    Parameters
    ----------
    lr : float or function of (step, total_steps)
        The learning rate.
    momentum : float
        :math:`\mu \ge 0`.
    dampening : float
        :math:`\tau`.
    weight_decay : float
        :math:`\lambda \ge 0`.
    nesterov : bool
        Look ahead along the momentum; needs momentum > 0 and dampening = 0.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013.

    Examples
    --------
    >>> from tenfold import optim
    >>> optim.SGD(lr=0.05, momentum=0.9)
    SGD(lr=0.05, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False)
    """

    def __init__(
        self,
        lr: Any = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        settings: dict[str, Any] = {
            "momentum": real(momentum, type(self).__name__, "momentum"),
            "dampening": real(dampening, type(self).__name__, "dampening"),
            "weight_decay": real(weight_decay, type(self).__name__, "weight_decay"),
            "nesterov": bool(nesterov),
        }
        super().__init__(lr, _core.SGD(**settings), settings)


class Adam(Optimizer):
    r"""Adam: steps divided by a running root mean square of the gradient.

    .. math::
        g &= \nabla + \lambda p \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        p &\leftarrow p - \frac{\mathrm{lr}}{1 - \beta_1^t} \cdot
            \frac{m}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} \qquad (t = 1, 2, \ldots)

    Parameters
    ----------
    lr : float or function of (step, total_steps)
    betas : (float, float)
        Both in [0, 1).
    eps : float
    weight_decay : float
        Added to the gradient (:math:`\lambda`); :class:`AdamW` keeps the two apart.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    _decoupled = False

    def __init__(
        self,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        name = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"{name}: betas must be two floats; received {betas!r}")
        beta1, beta2 = (real(beta, name, "betas") for beta in betas)
        eps, weight_decay = real(eps, name, "eps"), real(weight_decay, name, "weight_decay")
        core = _core.Adam(beta1, beta2, eps, weight_decay, self._decoupled)
        super().__init__(lr, core, {"betas": (beta1, beta2), "eps": eps, "weight_decay": weight_decay})


class AdamW(Adam):
    r"""Adam with decoupled weight decay: p is multiplied by :math:`1 - \mathrm{lr} \lambda` before each step.

    Parameters
    ----------
    lr, betas, eps
        As for :class:`Adam`.
    weight_decay : float
        :math:`\lambda`.

    References
    ----------
    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    _decoupled = True

    def __init__(
        self,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)


class RMSprop(Optimizer):
    r"""Steps divided by a running root mean square of the gradient, without Adam's corrections.

    .. math::
        g = \nabla + \lambda p, \qquad v \leftarrow \alpha v + (1 - \alpha) g^2, \qquad
        b \leftarrow \mu b + \frac{g}{\sqrt{v} + \epsilon}, \qquad p \leftarrow p - \mathrm{lr} \cdot b

    Parameters
    ----------
    lr : float or function of (step, total_steps)
    alpha : float
        In [0, 1).
    eps, weight_decay, momentum : float
        :math:`\epsilon, \lambda, \mu`.

    References
    ----------
    Tieleman, Hinton, "Lecture 6.5: rmsprop", Neural Networks for Machine Learning, 2012.
    """

    def __init__(
        self,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        settings = {
            "alpha": real(alpha, type(self).__name__, "alpha"),
            "eps": real(eps, type(self).__name__, "eps"),
            "weight_decay": real(weight_decay, type(self).__name__, "weight_decay"),
            "momentum": real(momentum, type(self).__name__, "momentum"),
        }
        super().__init__(lr, _core.RMSprop(**settings), settings)


__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "Schedule"]

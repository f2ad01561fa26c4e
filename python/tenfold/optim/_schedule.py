"""Learning-rate schedules: the rate as a function of the step and of the number of steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def real(value: Any, name: str, argument: str) -> float:
    """Return a float; refuse all that is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: {argument} must be a number; received {value!r}")
    return float(value)


def _positive(value: float, name: str, argument: str) -> float:
    value = real(value, name, argument)
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name}: {argument} must be finite and positive; received {value!r}")
    return value


def _not_negative(value: float, name: str, argument: str) -> float:
    value = real(value, name, argument)
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name}: {argument} must be finite and at least 0; received {value!r}")
    return value


def _count(value: int, name: str, argument: str, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: {argument} must be an int; received {value!r}")
    if value < least:
        raise ValueError(f"{name}: {argument} must be at least {least}; received {value!r}")
    return int(value)


class Schedule:
    """Base of all schedules: ``schedule(step, total_steps)`` is the learning rate of a step.

    Subclass it and write ``rates``, or give an optimiser any function of the same two arguments.
    """

    def rates(self, steps: npt.NDArray[np.float64], total_steps: int) -> npt.NDArray[np.float64]:
        """Return the rate of every step in an array of steps, counted from 0."""
        raise NotImplementedError(f"{type(self).__name__} must define rates")

    def __call__(self, step: Any, total_steps: int) -> Any:
        """Return the learning rate at a step.

        Parameters
        ----------
        step : int or array of int
            Counted from 0.
        total_steps : int
            Steps of the whole training.

        Returns
        -------
        float, or ndarray of float64 with the shape of `step`
        """
        steps = np.asarray(step, dtype=np.float64)
        rates = np.asarray(self.rates(steps, int(total_steps)), dtype=np.float64)
        rates = np.broadcast_to(rates, steps.shape)
        return float(rates) if steps.ndim == 0 else rates.copy()

    def state(self) -> dict[str, Any]:
        """Return the settings, for a checkpoint."""
        return {"name": type(self).__name__, **{k: v for k, v in vars(self).items() if not k.startswith("_")}}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


class Constant(Schedule):
    """The same rate at every step.

    Parameters
    ----------
    lr : float
    """

    def __init__(self, lr: float) -> None:
        self.lr = _not_negative(lr, "Constant", "lr")

    def rates(self, steps: npt.NDArray[np.float64], total_steps: int) -> npt.NDArray[np.float64]:
        return np.full(steps.shape, self.lr)


class Step(Schedule):
    r"""Multiply the rate by `gamma` every `every` steps.

    .. math:: \mathrm{lr} \cdot \gamma^{\lfloor t / \mathrm{every} \rfloor}

    Parameters
    ----------
    lr : float
        The first rate.
    every : int, optional
        Steps between two changes. An epoch has ``ceil(len(data) / batch_size)`` steps.
    gamma : float
    drops : int, optional
        Instead of `every`: how many changes the whole training has, at equal distances.

    Examples
    --------
    >>> from tenfold.optim import Step
    >>> [Step(0.1, every=2, gamma=0.5)(t, 6) for t in range(6)]
    [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    """

    def __init__(
        self, lr: float, every: int | None = None, gamma: float = 0.1, *, drops: int | None = None
    ) -> None:
        self.lr = _not_negative(lr, "Step", "lr")
        if (every is None) == (drops is None):
            raise ValueError(
                f"Step: either every or drops must be given; received every={every!r}, drops={drops!r}"
            )
        self.every = None if every is None else _count(every, "Step", "every", 1)
        self.gamma = _positive(gamma, "Step", "gamma")
        self.drops = None if drops is None else _count(drops, "Step", "drops", 0)

    def rates(self, steps: npt.NDArray[np.float64], total_steps: int) -> npt.NDArray[np.float64]:
        if self.drops is not None:
            changes = np.floor(steps * (self.drops + 1) / max(total_steps, 1))
        else:
            changes = np.floor(steps / (self.every or 1))
        return self.lr * self.gamma**changes


class Cosine(Schedule):
    r"""Fall from `lr` to `final` times `lr` along half a cosine, after an optional linear warm-up.

    With w warm-up steps and T steps in all, rate(t) = lr (t + 1) / (w + 1) for t < w, and then

    .. math:: \mathrm{lr} \left(f + (1 - f) \tfrac12 \left(1 + \cos \pi \tfrac{t - w}{T - w}\right)\right)

    Parameters
    ----------
    lr : float
        The highest rate.
    final : float
        The fraction f of `lr` that is reached at the end.
    warmup : int or float
        Steps of the warm-up; below 1, a fraction of all steps.

    References
    ----------
    Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
    """

    def __init__(self, lr: float, final: float = 0.0, warmup: float = 0) -> None:
        self.lr = _not_negative(lr, "Cosine", "lr")
        self.final = _not_negative(final, "Cosine", "final")
        self.warmup = _not_negative(warmup, "Cosine", "warmup")

    def rates(self, steps: npt.NDArray[np.float64], total_steps: int) -> npt.NDArray[np.float64]:
        warmup = math.floor(self.warmup * total_steps) if self.warmup < 1 else math.floor(self.warmup)
        part = np.clip((steps - warmup) / max(total_steps - warmup, 1), 0.0, 1.0)
        fall = self.lr * (self.final + (1 - self.final) * 0.5 * (1 + np.cos(np.pi * part)))
        return np.where(steps < warmup, self.lr * (steps + 1) / (warmup + 1), fall)


class OneCycle(Schedule):
    r"""Rise from ``lr / div_factor`` to `lr`, then fall along cosines.

    The last rate is ``lr / div_factor / final_div_factor``. The formula is that of PyTorch's ``OneCycleLR``
    with two phases and ``anneal_strategy="cos"``: the top is reached at step
    :math:`\mathrm{pct\_start} \cdot T - 1`, the end at step :math:`T - 1`.

    Parameters
    ----------
    lr : float
        The highest rate (``max_lr``).
    pct_start : float
        The share of the steps that the rate rises.
    div_factor, final_div_factor : float

    References
    ----------
    Smith, Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.
    """

    def __init__(
        self, lr: float, pct_start: float = 0.3, div_factor: float = 25.0, final_div_factor: float = 1e4
    ) -> None:
        self.lr = _not_negative(lr, "OneCycle", "lr")
        self.pct_start = real(pct_start, "OneCycle", "pct_start")
        if not 0 <= self.pct_start <= 1:
            raise ValueError(f"OneCycle: pct_start must be from 0 to 1; received {pct_start!r}")
        self.div_factor = _positive(div_factor, "OneCycle", "div_factor")
        self.final_div_factor = _positive(final_div_factor, "OneCycle", "final_div_factor")

    def rates(self, steps: npt.NDArray[np.float64], total_steps: int) -> npt.NDArray[np.float64]:
        first = self.lr / self.div_factor
        last = first / self.final_div_factor
        top, end = self.pct_start * total_steps - 1, total_steps - 1.0
        # A phase of no length has reached its end.
        up = np.clip((steps / top) if top > 0 else np.ones_like(steps), 0.0, 1.0)
        down = np.clip((steps - top) / (end - top) if end > top else np.ones_like(steps), 0.0, 1.0)

        def between(a: float, b: float, part: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return b + (a - b) / 2 * (1 + np.cos(np.pi * part))

        return np.where(steps <= top, between(first, self.lr, up), between(self.lr, last, down))


class LinearWarmup(Schedule):
    """Another schedule after a linear rise.

    For t < `steps` the rate is (t + 1) / (`steps` + 1) of the other schedule's first rate; after that the
    other schedule runs, its steps counted from the end of the warm-up.

    Parameters
    ----------
    after : Schedule, float or function of (step, total_steps)
    steps : int
    """

    def __init__(self, after: Any, steps: int) -> None:
        self.after = as_schedule(after, "LinearWarmup", "after")
        self.steps = _count(steps, "LinearWarmup", "steps")

    def rates(self, steps: npt.NDArray[np.float64], total_steps: int) -> npt.NDArray[np.float64]:
        rest = max(total_steps - self.steps, 1)
        then = learning_rates(self.after, np.maximum(steps - self.steps, 0.0), rest)
        return then * np.where(steps < self.steps, (steps + 1) / (self.steps + 1), 1.0)

    def state(self) -> dict[str, Any]:
        after = self.after.state() if isinstance(self.after, Schedule) else repr(self.after)
        return {"name": "LinearWarmup", "after": after, "steps": self.steps}


def as_schedule(value: Any, name: str, argument: str = "lr") -> Any:
    """Return a schedule from a rate, a schedule or a function."""
    if callable(value):
        return value
    if isinstance(value, (str, bytes, Sequence, Mapping)) or not np.isscalar(value):
        raise TypeError(
            f"{name}: {argument} must be a float, or a function of (step, total_steps); received {value!r}"
        )
    return Constant(_not_negative(float(value), name, argument))  # type: ignore[arg-type]


def learning_rates(lr: Any, steps: npt.ArrayLike, total_steps: int) -> npt.NDArray[np.float64]:
    """Return the rates of an array of steps from a float, a Schedule or a plain function, checked.

    Raises
    ------
    ValueError
        If a rate is negative or not finite.
    """
    array = np.atleast_1d(np.asarray(steps, dtype=np.float64))
    if isinstance(lr, Schedule):
        rates = lr(array, total_steps)
    elif callable(lr):
        rates = np.array([float(lr(int(step), total_steps)) for step in array.ravel()]).reshape(array.shape)
    else:
        rates = np.full(array.shape, float(lr))
    bad = ~(np.isfinite(rates) & (rates >= 0))
    if bad.any():
        where = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"learning rate: must be finite and at least 0 at every step; received {rates.flat[where]!r} "
            f"at step {int(array.flat[where])} of {total_steps}"
        )
    return np.asarray(rates, dtype=np.float64).reshape(np.shape(steps))

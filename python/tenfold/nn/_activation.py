"""Activation layers, and layers without parameters that join or pass on."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..functional._arguments import number
from ._module import Module


class ReLU(Module):
    """The positive part, element by element; see :func:`tenfold.functional.relu`.

    Parameters
    ----------
    at_zero : float
        The derivative at 0: 1 by the lecture's definition, 0 in PyTorch.
    """

    def __init__(self, at_zero: float = 1.0) -> None:
        super().__init__()
        self.at_zero = at_zero

    def forward(self, input: Any) -> Any:
        return F.relu(input, self.at_zero)

    def extra_repr(self) -> str:
        return "" if self.at_zero == 1 else f"at_zero={self.at_zero}"


class LeakyReLU(Module):
    """x where it is positive, a fraction of it elsewhere; see :func:`tenfold.functional.leaky_relu`.

    Parameters
    ----------
    negative_slope : float
        The slope left of 0.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, input: Any) -> Any:
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """The exponential linear unit; see :func:`tenfold.functional.elu`.

    Parameters
    ----------
    alpha : float
        The negative of the limit for large negative x.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, input: Any) -> Any:
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Module):
    """The Gaussian error linear unit; see :func:`tenfold.functional.gelu`.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "tanh" computes a well-known approximation.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh'; received {approximate!r}")
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x times its sigmoid, also called swish; see :func:`tenfold.functional.silu`."""

    def forward(self, input: Any) -> Any:
        return F.silu(input)


class Sigmoid(Module):
    """The logistic function; see :func:`tenfold.functional.sigmoid`."""

    def forward(self, input: Any) -> Any:
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent; see :func:`tenfold.functional.tanh`."""

    def forward(self, input: Any) -> Any:
        return F.tanh(input)


class Softplus(Module):
    """A smooth approximation of the positive part; see :func:`tenfold.functional.softplus`.

    Parameters
    ----------
    beta : float
        How sharp the bend is; positive.
    threshold : float
        Where beta x is larger, the output is x.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        beta, threshold = number(beta, "Softplus", "beta"), number(threshold, "Softplus", "threshold")
        if not beta > 0:
            raise ValueError(f"Softplus: beta must be positive; received {beta!r}")
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Any) -> Any:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Identity(Module):
    """The input as it is. Arguments are taken and ignored, so that it can stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Add(Module):
    """The sum of several inputs of shapes that broadcast, added from the left: joins branches.

    Given modules, it applies each to its one input and adds what comes out: ``Add(Identity(), block)`` is a
    residual block.

    Parameters
    ----------
    *modules : Module
        The branches; none when the layer is called with the values to add.
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(
                    f"Add: every branch must be a Module; branch {i} is a {type(module).__name__}"
                )
            setattr(self, str(i), module)

    def forward(self, *inputs: Any) -> Any:
        if self._modules:
            if len(inputs) != 1:
                raise TypeError(f"Add: with branches there must be one input; received {len(inputs)}")
            inputs = tuple(module(inputs[0]) for module in self._modules.values())
        if not inputs:
            raise TypeError("Add: there must be at least one input")
        total = inputs[0]
        for value in inputs[1:]:
            total = F.add(total, value)
        return total

"""Recording of functions as graphs, their derivatives, and their summary."""

from ._trace import Array, Buffer, Parameter, Symbol, Trace, Variable, active, apply

__all__ = ["Array", "Buffer", "Parameter", "Symbol", "Trace", "Variable", "active", "apply"]

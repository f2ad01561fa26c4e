"""Recording of functions as graphs, their derivatives, and their summary."""

from ._autodiff import FunctionProgram, grad, value_and_grad, vjp
from ._custom import Function
from ._program import FlatParameters, InferenceProgram, TrainingProgram, aligned_zeros
from ._summary import Summary, summary
from ._trace import Array, Buffer, Parameter, Symbol, Trace, Variable, active, apply

__all__ = [
    "Array",
    "Buffer",
    "FlatParameters",
    "Function",
    "FunctionProgram",
    "InferenceProgram",
    "Parameter",
    "Summary",
    "Symbol",
    "Trace",
    "TrainingProgram",
    "Variable",
    "active",
    "aligned_zeros",
    "apply",
    "grad",
    "summary",
    "value_and_grad",
    "vjp",
]

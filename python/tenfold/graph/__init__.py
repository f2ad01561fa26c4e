"""Recording of functions as graphs, their derivatives, their summary and their profile."""

from ._autodiff import FunctionProgram, grad, value_and_grad, vjp
from ._custom import Function
from ._profile import Operation, Profile, profile
from ._program import FlatParameters, InferenceProgram, TrainingProgram, aligned_zeros
from ._summary import Summary, summary
from ._trace import Array, Attributes, Buffer, Parameter, Symbol, Trace, Variable, active, apply

__all__ = [
    "Array",
    "Attributes",
    "Buffer",
    "FlatParameters",
    "Function",
    "FunctionProgram",
    "InferenceProgram",
    "Operation",
    "Parameter",
    "Profile",
    "Summary",
    "Symbol",
    "Trace",
    "TrainingProgram",
    "Variable",
    "active",
    "aligned_zeros",
    "apply",
    "grad",
    "profile",
    "summary",
    "value_and_grad",
    "vjp",
]

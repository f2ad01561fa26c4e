"""Types of the compiled core; tests/test_stubs.py holds them against the built module."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]

# -- runtime -------------------------------------------------------------------------------------------------

def num_threads() -> int: ...
def set_num_threads(threads: SupportsIndex) -> None: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def available_isas() -> list[str]: ...
def cpu_name() -> str: ...
def fma_peak(dtype: np.dtype[Any], seconds: SupportsFloat = 0.01) -> float: ...
def round_trip() -> float: ...
def compiler() -> str: ...
def has_openmp() -> bool: ...

# -- operations and graphs -----------------------------------------------------------------------------------

def gemm(a: _Array, b: _Array, out: _Array, transpose_a: bool = False, transpose_b: bool = False) -> None: ...

class Op:
    def __init__(self, kind: str, attributes: Mapping[str, Any], inputs: Sequence[_Array]) -> None: ...
    def __call__(self, inputs: Sequence[_Array], seed: SupportsIndex = 0) -> list[_Array]: ...
    def run_if_fits(self, inputs: list[Any], seed: SupportsIndex = 0) -> list[_Array] | None: ...
    @property
    def flops(self) -> float: ...

class Graph:
    def __init__(self) -> None: ...
    def add_leaf(self, dtype: np.dtype[Any], shape: Sequence[SupportsIndex]) -> int: ...
    def add(
        self, kind: str, attributes: Mapping[str, Any], inputs: Sequence[SupportsIndex], name: str = ""
    ) -> list[int]: ...
    def add_callback(
        self,
        name: str,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        inputs: Sequence[SupportsIndex],
        outputs: Sequence[tuple[np.dtype[Any], Sequence[SupportsIndex]]],
        scope: str = "",
    ) -> list[int]: ...
    def shape(self, id: SupportsIndex, /) -> tuple[int, ...]: ...
    def dtype(self, id: SupportsIndex, /) -> np.dtype[Any]: ...
    def node_count(self) -> int: ...
    def nodes(self) -> list[dict[str, Any]]: ...

# -- programs ------------------------------------------------------------------------------------------------

class Program:
    def __init__(
        self,
        graph: Graph,
        inputs: Sequence[SupportsIndex],
        outputs: Sequence[SupportsIndex],
        gradients: Sequence[SupportsIndex] = [],
        updates: Sequence[tuple[SupportsIndex, SupportsIndex]] = [],
        differentiated_outputs: SupportsIndex | None = None,
        repeatable: bool = False,
        fuse: bool = True,
    ) -> None: ...
    def bind(self, leaf: SupportsIndex, array: _Array) -> None: ...
    def bind_gradient(self, leaf: SupportsIndex, array: _Array) -> None: ...
    def forward(
        self,
        inputs: Sequence[_Array],
        seed: SupportsIndex = 0,
        step: SupportsIndex = 0,
        update: bool = False,
    ) -> list[_Array]: ...
    def forward_if_fits(self, inputs: tuple[Any, ...], update: bool) -> list[_Array] | None: ...
    def backward(self, d_outputs: Sequence[_Array | None]) -> list[_Array]: ...
    def profile(
        self,
        inputs: Sequence[_Array],
        d_outputs: Sequence[_Array | None],
        seed: SupportsIndex = 0,
        repetitions: SupportsIndex = 1,
    ) -> list[dict[str, Any]]: ...
    def train(
        self,
        optimizer: Optimizer,
        parameters: _Array,
        gradients: _Array,
        states: Sequence[_Array],
        data: Sequence[_Array],
        order: _Array,
        learning_rates: _Array,
        first_step: SupportsIndex,
        seed: SupportsIndex,
        results: _Array,
    ) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def buffer_bytes(self) -> int: ...
    @property
    def kinds(self) -> list[str]: ...

# -- optimisers ----------------------------------------------------------------------------------------------

class Optimizer:
    @property
    def state_count(self) -> int: ...
    def step(
        self,
        parameters: _Array,
        gradients: _Array,
        states: Sequence[_Array],
        learning_rate: SupportsFloat,
        step: SupportsIndex,
    ) -> None: ...

class SGD(Optimizer):
    def __init__(
        self,
        momentum: SupportsFloat = 0.0,
        dampening: SupportsFloat = 0.0,
        weight_decay: SupportsFloat = 0.0,
        nesterov: bool = False,
    ) -> None: ...

class Adam(Optimizer):
    def __init__(
        self,
        beta1: SupportsFloat = 0.9,
        beta2: SupportsFloat = 0.999,
        eps: SupportsFloat = 1e-08,
        weight_decay: SupportsFloat = 0.0,
        decoupled: bool = False,
    ) -> None: ...

class RMSprop(Optimizer):
    def __init__(
        self,
        alpha: SupportsFloat = 0.99,
        eps: SupportsFloat = 1e-08,
        weight_decay: SupportsFloat = 0.0,
        momentum: SupportsFloat = 0.0,
    ) -> None: ...

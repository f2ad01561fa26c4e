"""Normalisation layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from ..functional._norm import count_batch
from ..graph import Buffer, Parameter
from ._module import Module


class _BatchNorm(Module):
    """What batch normalisation does at every rank; the subclasses say which shapes they take."""

    _ranks: ClassVar[tuple[int, ...]]
    _shapes: ClassVar[str]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(num_features, (int, np.integer)) or num_features < 1:
            raise ValueError(
                f"{type(self).__name__}: num_features must be a positive int; received {num_features!r}"
            )
        self.num_features = int(num_features)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight: Any = Parameter(np.ones(num_features, np.float32)) if affine else None
        self.bias: Any = Parameter(np.zeros(num_features, np.float32)) if affine else None
        self.running_mean: Any = None
        self.running_var: Any = None
        self.num_batches_tracked: Any = None
        if track_running_stats:
            self.running_mean = Buffer(np.zeros(num_features, np.float32))
            self.running_var = Buffer(np.ones(num_features, np.float32))
            self.num_batches_tracked = Buffer(np.array(0, np.int64))

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def forward(self, input: Any) -> Any:
        name = type(self).__name__
        if input.ndim not in self._ranks:
            raise ValueError(f"{name}: input must have shape {self._shapes}; received {tuple(input.shape)}")
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"{name}: input must have {self.num_features} channels; its shape is {tuple(input.shape)}"
            )
        if self.training and self.track_running_stats:
            count_batch(self.num_batches_tracked)
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L); see :func:`tenfold.functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        C.
    eps, momentum : float
    affine : bool
        Whether there are a weight and a bias to learn.
    track_running_stats : bool
        Whether running statistics are kept for inference; without them the batch's own are used there too.
    """

    _ranks = (2, 3)
    _shapes = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W); see :func:`tenfold.functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        C.
    eps, momentum : float
    affine : bool
        Whether there are a weight and a bias to learn.
    track_running_stats : bool
        Whether running statistics are kept for inference; without them the batch's own are used there too.
    """

    _ranks = (4,)
    _shapes = "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W); see :func:`tenfold.functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        C.
    eps, momentum : float
    affine : bool
        Whether there are a weight and a bias to learn.
    track_running_stats : bool
        Whether running statistics are kept for inference; without them the batch's own are used there too.
    """

    _ranks = (5,)
    _shapes = "(N, C, D, H, W)"

"""Optimisers and learning-rate schedules."""

from ._optimizer import SGD, Adam, AdamW, Optimizer, RMSprop
from ._schedule import Constant, Cosine, LinearWarmup, OneCycle, Schedule, Step

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "LinearWarmup",
    "OneCycle",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "Step",
]

"""Functions from arrays to arrays; given a symbol, the same functions record a graph."""

from ._activation import relu

__all__ = ["relu"]

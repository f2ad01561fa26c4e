"""How far a result may be from the reference: written down once, with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np


def rtol(dtype: Any, terms: int = 1) -> float:
    """Return the allowed error of a sum of `terms` products, relative to the sum of their magnitudes.

    A sum of K rounded terms in any order is off by at most about K eps; in practice signs mix and it is
    nearer to sqrt(K) eps. 4 eps for the operation itself, and 2 sqrt(K) eps for the sum, is a bound that a
    wrong index breaks at once and that no order of summation reaches.
    """
    return float(np.finfo(dtype).eps) * (4 + 2 * np.sqrt(max(terms, 1)))


def largest_error(actual: Any, exact: Any) -> float:
    """Return the largest error, relative to the largest magnitude of the exact numbers; 0 for empty arrays."""
    return float(np.max(np.abs(actual - exact), initial=0) / np.max(np.abs(exact), initial=1e-30))


def assert_close(actual: Any, expected: Any, terms: int = 1, scale: float | None = None) -> None:
    """Check `actual` against a reference computed in float64, NaN and infinity included.

    Parameters
    ----------
    actual : ndarray
        float32 or float64; its dtype sets the tolerance.
    expected : ndarray
        Same shape.
    terms : int
        How many products each element sums: the inner dimension.
    scale : float, optional
        Magnitude of those sums; by default the largest finite ``|expected|``.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    if scale is None:
        scale = float(np.max(np.abs(expected[finite]), initial=0))
    tolerance = rtol(actual.dtype, terms)
    np.testing.assert_allclose(
        actual,
        expected,
        rtol=tolerance,
        atol=tolerance * scale + float(np.finfo(actual.dtype).tiny),
        equal_nan=True,
    )


def ulp_error(actual: Any, expected: Any) -> Any:
    """Return |actual - expected| in units of the last place of actual's dtype; `expected` is more precise.

    Where the expected number is denormal in that dtype, zero is exact: the core flushes denormals.
    Infinities and NaN must agree; where they do not, the error is infinite.
    """
    actual = np.asarray(actual)
    expected = np.asarray(expected)
    tiny = np.finfo(actual.dtype).tiny
    with np.errstate(all="ignore"):
        rounded = expected.astype(actual.dtype)
        unit = np.spacing(np.abs(rounded)).astype(expected.dtype)
        error = np.abs(actual.astype(expected.dtype) - expected) / unit
        same = (actual == rounded) | (np.isnan(actual) & np.isnan(rounded))
        flushed = (np.abs(expected) < tiny) & (np.abs(actual) <= tiny)
    agree = same | flushed
    exact = agree & ~np.isfinite(rounded) | flushed
    return np.where(exact, 0.0, np.where(np.isfinite(error), error, np.inf))

"""A ReLU that keeps no input for backward still tells 0 from what is negative."""

from __future__ import annotations

import numpy as np
import pytest

import tenfold
from tenfold import functional as F


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_gradient_at_zero_behind_another_operation(dtype: type, at_zero: float) -> None:
    x = np.tile(np.array([-2.0, -0.0, 0.0, 3.0, np.nan], dtype), 9)
    weight = np.arange(1, 46, dtype=dtype)

    def loss(x: np.ndarray) -> object:
        return F.sum(F.relu(x * 1.0, at_zero=at_zero) * weight)

    _, gradient = tenfold.value_and_grad(loss)(x)
    slope = np.tile(np.array([0.0, at_zero, at_zero, 1.0], dtype), (9, 1))
    np.testing.assert_array_equal(gradient.reshape(9, 5)[:, :4], slope * weight.reshape(9, 5)[:, :4])

"""The lecture's worked examples, by exact arithmetic.

Several numbers printed in the lecture do not follow from their own inputs; the ones here are recomputed by hand.
Integer and dyadic inputs make every sum exact, so results are compared without tolerance unless the mask M / 10 is
involved.
"""

import numpy as np
import pytest

import tenfold
from tenfold import functional as F

TEN_M = np.array([[1, 1, 1], [1, 2, 1], [1, 1, 1]], np.float64)
M = TEN_M / 10

IMAGE = np.array(
    [[4, 3, 2, 4, 5], [6, 2, 4, 4, 5], [3, 5, 3, 7, 6], [6, 1, 9, 8, 7], [2, 1, 1, 2, 7]], np.float64
)  # fmt: skip
SMOOTHED = np.array([[3.4, 3.8, 4.4], [4.4, 4.6, 6.0], [3.2, 4.6, 5.8]])


def plane(x):
    """(H, W) as (1, 1, H, W)."""
    return np.asarray(x, np.float64)[None, None]


def test_mask_on_an_image():
    np.testing.assert_allclose(F.conv2d(plane(IMAGE), plane(M))[0, 0], SMOOTHED, rtol=1e-15)
    np.testing.assert_array_equal(F.conv2d(plane(IMAGE), plane(TEN_M))[0, 0], np.round(10 * SMOOTHED))


def test_stride_2_is_every_second_value():
    image = plane(np.arange(49).reshape(7, 7) % 11)
    full = F.conv2d(image, plane(TEN_M))
    np.testing.assert_array_equal(F.conv2d(image, plane(TEN_M), stride=2), full[:, :, ::2, ::2])


def test_max_pool():
    x = plane([[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]])
    np.testing.assert_array_equal(F.max_pool2d(x, 2)[0, 0], [[20, 30], [112, 37]])


@pytest.mark.parametrize(
    ("stride", "expected"),
    [
        pytest.param(
            3,
            [
                [4, 4, 4, 3, 3, 3],
                [4, 8, 4, 3, 6, 3],
                [4, 4, 4, 3, 3, 3],
                [2, 2, 2, 0, 0, 0],
                [2, 4, 2, 0, 0, 0],
                [2, 2, 2, 0, 0, 0],
            ],
            id="stride 3: copies side by side",
        ),
        pytest.param(
            2,
            [[4, 4, 7, 3, 3], [4, 8, 7, 6, 3], [6, 6, 9, 3, 3], [2, 4, 2, 0, 0], [2, 2, 2, 0, 0]],
            id="stride 2: copies overlap",
        ),
        pytest.param(1, [[4, 7, 7, 3], [6, 13, 12, 3], [6, 11, 9, 3], [2, 2, 2, 0]], id="stride 1"),
    ],
)
def test_transposed_convolution(stride, expected):
    y = F.conv_transpose2d(plane([[4, 3], [2, 0]]), plane(TEN_M), stride=stride)
    np.testing.assert_array_equal(y[0, 0], expected)


def test_transposed_convolution_second_example():
    y = F.conv_transpose2d(plane([[2, 3], [1, 0]]), plane(TEN_M))
    np.testing.assert_array_equal(y[0, 0], [[2, 5, 5, 3], [3, 8, 9, 3], [3, 7, 6, 3], [1, 1, 1, 0]])


def test_convolution_is_a_matrix_and_its_transpose_the_transposed_convolution():
    x = plane([[4, 3, 2, 4], [6, 2, 4, 4], [3, 5, 3, 7], [6, 1, 9, 8]])
    expected = np.array([[34, 38], [44, 46]])
    np.testing.assert_array_equal(F.conv2d(x, plane(TEN_M))[0, 0], expected)

    matrix = F.conv_matrix(TEN_M, (4, 4))
    assert matrix.shape == (4, 16)
    np.testing.assert_array_equal(matrix @ x.ravel(), expected.ravel())
    y = np.array([[4.0, 3.0], [2.0, 0.0]])
    np.testing.assert_array_equal(
        (matrix.T @ y.ravel()).reshape(4, 4), F.conv_transpose2d(plane(y), plane(TEN_M))[0, 0]
    )


def test_convolution_commutes_with_shifts():
    rng = np.random.default_rng(1)
    x = rng.integers(-9, 10, (1, 2, 9, 11)).astype(np.float64)
    w = rng.integers(-9, 10, (3, 2, 3, 3)).astype(np.float64)
    shifted = np.roll(x, (2, 3), axis=(2, 3))
    y = F.conv2d(x, w, padding=1, border="circular")
    np.testing.assert_array_equal(
        F.conv2d(shifted, w, padding=1, border="circular"), np.roll(y, (2, 3), axis=(2, 3))
    )
    inner = F.conv2d(shifted, w)[:, :, 2:, 3:]  # away from the border no border is needed
    np.testing.assert_array_equal(inner, F.conv2d(x, w)[:, :, :-2, :-3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_of_large_scores_is_finite(dtype):
    p = F.softmax(np.array([21, 34, 10000, 680], dtype), axis=-1)
    np.testing.assert_array_equal(p, [0, 0, 1, 0])


def test_softmax_ignores_a_constant():
    x = np.array([1.0, -2.0, 0.5, 3.0])
    np.testing.assert_array_equal(F.softmax(x + 4.0, axis=-1), F.softmax(x, axis=-1))  # x + 4 is exact
    np.testing.assert_allclose(F.softmax(x + 1234.567, axis=-1), F.softmax(x, axis=-1), rtol=1e-12)


def test_softmax_of_two_is_the_sigmoid():
    z = np.linspace(-30, 30, 61)
    p = F.softmax(np.stack([np.zeros_like(z), z], axis=1), axis=1)
    np.testing.assert_allclose(p[:, 1], F.sigmoid(z), rtol=1e-14)


def test_sigmoid_is_a_shifted_tanh():
    z = np.linspace(-20, 20, 81)
    np.testing.assert_allclose(F.sigmoid(z), (1 + F.tanh(z / 2)) / 2, rtol=1e-7, atol=1e-16)


def test_gradient_of_cross_entropy_after_softmax_is_softmax_minus_target():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(5, 4))
    labels = np.array([0, 3, 1, 1, 2])
    target = np.eye(4)[labels]
    _, dx = tenfold.value_and_grad(lambda s: F.cross_entropy(s, labels, reduction="sum"))(scores)
    np.testing.assert_allclose(dx, F.softmax(scores, axis=1) - target, atol=1e-15)
    _, dx = tenfold.value_and_grad(lambda s: F.cross_entropy(s, target, reduction="sum"))(scores)
    np.testing.assert_allclose(dx, F.softmax(scores, axis=1) - target, atol=1e-15)

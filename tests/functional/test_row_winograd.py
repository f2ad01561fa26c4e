"""Many small images with few channels: Winograd along rows, 16 images in the lanes, where nobody asks for a form.

The error bound is that of F(4x4) in test_winograd.py: the points of 5x5 windows are the same. Windows of 3x3 use 0, +-1
and infinity, and are exact for small integers.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference import conv as reference
from tests.tolerance import largest_error, rtol

import tenfold
from tenfold import _core
from tenfold import functional as F

# reason: N, C, F, (H, W), kernel, pads, border
GEOMETRIES = {
    "lenet": (32, 1, 6, (12, 12), 5, ((2, 2), (2, 2)), "constant"),
    "odd_outputs": (17, 1, 7, (9, 11), 5, ((2, 2), (2, 2)), "constant"),
    "odd_outputs_3x3": (31, 3, 5, (9, 7), 3, ((1, 1), (1, 1)), "constant"),
    "uneven_padding": (16, 2, 9, (10, 8), 5, ((0, 3), (1, 2)), "constant"),
    "no_padding_3x3": (33, 4, 16, (8, 13), 3, ((0, 0), (0, 0)), "constant"),
    "border": (16, 3, 8, (8, 9), 3, ((2, 1), (1, 2)), "constant"),
}


def make(name, dtype=np.float32, integer=False):
    n, c, f, size, kernel, pads, border = GEOMETRIES[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    shapes = ((n, c, *size), (f, c, kernel, kernel), (f,))
    draw = (lambda s: rng.integers(-4, 5, s)) if integer else rng.standard_normal
    x, w, b = (draw(s).astype(dtype) for s in shapes)
    return x, w, b, {"padding": pads, "border": border, "border_value": 1.5 if name == "border" else 0.0}


def defined(x, w, b, options):
    pads, border, value = options["padding"], options["border"], options["border_value"]
    return reference.conv(
        x.astype(float), w.astype(float), b.astype(float), (1, 1), pads, (1, 1), 1, border, value
    )


@pytest.mark.parametrize("name", GEOMETRIES)
def test_stays_within_the_bound_and_near_the_direct_form(name, isa):
    x, w, b, options = make(name)
    exact = defined(x, w, b, options)
    y, direct = (F.conv2d(x, w, b, algorithm=a, **options) for a in ("auto", "direct"))
    assert largest_error(y, exact) <= 4 * rtol(np.float32, w[0].size)
    assert largest_error(y, exact) <= 4 * largest_error(direct, exact)


@pytest.mark.parametrize(
    ("c", "f", "size", "kernel"), [(1, 6, 28, 5), (3, 16, 32, 5), (3, 16, 32, 3), (8, 24, 16, 3)]
)
@pytest.mark.parametrize("weights", ["normal", "positive"])
def test_is_chosen_and_errs_at_most_four_times_as_much(c, f, size, kernel, weights):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((64, c, size, size)).astype("f")
    w = (rng.standard_normal((f, c, kernel, kernel)) / np.sqrt(kernel**2 * c)).astype("f")
    if weights == "positive":
        w = np.abs(w)
    y, direct = (F.conv2d(x, w, padding=kernel // 2, algorithm=a) for a in ("auto", "direct"))
    if _core.isa() == "avx512":
        assert not np.array_equal(y, direct), "not chosen for this layer"
    exact = F.conv2d(x.astype(float), w.astype(float), padding=kernel // 2, algorithm="im2col")
    assert largest_error(y, exact) <= 4 * largest_error(direct, exact)


@pytest.mark.parametrize("name", [name for name in GEOMETRIES if GEOMETRIES[name][4] == 3])
def test_three_by_three_is_exact_for_small_integers(name, isa):
    x, w, b, options = make(name, integer=True)
    np.testing.assert_array_equal(F.conv2d(x, w, b, **options), defined(x, w, b, options))


def test_float64_keeps_the_definition(isa):
    x, w, b, options = make("odd_outputs", np.float64, integer=True)
    np.testing.assert_array_equal(F.conv2d(x, w, b, **options), defined(x, w, b, options))


def test_relu_that_is_fused(isa):
    x, w, b, options = make("lenet")
    y, _ = tenfold.vjp(lambda x: F.relu(F.conv2d(x, w, b, **options)), x)
    assert largest_error(y, np.maximum(defined(x, w, b, options), 0)) <= 4 * rtol(np.float32, w[0].size)


def test_bits_do_not_depend_on_threads():
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((48, 3, 33, 35)).astype("f"), rng.standard_normal((16, 3, 3, 3)).astype("f")
    before = _core.num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append(F.conv2d(x, w, padding=1))
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)

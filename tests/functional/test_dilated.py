"""Dilated convolutions that go by the phases of their images, in Winograd's form, whatever the border."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tolerance import largest_error

import tenfold
from tenfold import _core
from tenfold import functional as F

# reason: (N, C, F), kernel, (H, W), dilation, padding
GEOMETRIES = {
    "padding_of_the_phases": ((2, 32, 40), 3, (33, 40), (2, 2), (2, 2)),
    "other_padding": ((1, 40, 33), 3, (61, 71), (2, 3), ((2, 1), (3, 4))),
    "no_padding": ((1, 32, 32), 3, (48, 50), (3, 2), (0, 0)),
    "rows_only": ((2, 32, 36), 3, (40, 17), (4, 1), (4, 1)),
    "columns_only": ((1, 36, 32), 3, (13, 66), (1, 5), (1, 5)),
    "five_by_five": ((1, 48, 48), 5, (32, 33), (2, 2), (4, 4)),
    "many_phases": ((1, 64, 64), 3, (65, 66), (6, 6), (6, 6)),
}


def make(reason, seed=0):
    (n, c, f), kernel, size, dilation, padding = GEOMETRIES[reason]
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, c, *size)).astype("f")
    w = (rng.standard_normal((f, c, kernel, kernel)) / np.sqrt(kernel**2 * c)).astype("f")
    return x, w, rng.standard_normal(f).astype("f"), {"dilation": dilation, "padding": padding}


def operators(x, w, b, settings, algorithm):
    """Return y, dx, dw and db of a convolution, for a dy that depends on nothing but the shape."""
    y, pull = tenfold.vjp(lambda x, w, b: F.conv2d(x, w, b, algorithm=algorithm, **settings), x, w, b)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype("f").astype(x.dtype)
    return [y, *pull(dy)]


@pytest.mark.parametrize("border", ["constant", "reflect", "symmetric", "replicate", "circular"])
@pytest.mark.parametrize("reason", GEOMETRIES)
def test_errs_at_most_four_times_as_much_as_direct(reason, border, isa):
    x, w, b, settings = make(reason)
    settings["border"] = border
    if border == "constant":
        settings["border_value"] = 0.5
    exact = operators(*(v.astype(float) for v in (x, w, b)), settings, "direct")
    direct = operators(x, w, b, settings, "direct")
    chosen = operators(x, w, b, settings, "auto")
    if border == "constant":
        assert not np.array_equal(chosen[0], direct[0]), "not chosen for this layer"
    for name, found, plain, true in zip(("y", "dx", "dw", "db"), chosen, direct, exact):
        assert largest_error(found, true) <= 4 * largest_error(plain, true), name


@pytest.mark.parametrize("reason", GEOMETRIES)
def test_the_same_bits_on_every_team(reason):
    x, w, b, settings = make(reason)
    results = []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        results.append(operators(x, w, b, settings, "auto"))
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def test_transposed_convolutions_too():
    x, w, _, _ = make("padding_of_the_phases")
    w = np.ascontiguousarray(w.transpose(1, 0, 2, 3))
    b = np.arange(w.shape[1], dtype=np.float32)

    def layer(x, w, b, algorithm):
        return F.conv_transpose2d(x, w, b, padding=2, dilation=2, algorithm=algorithm)

    exact = layer(*(v.astype(float) for v in (x, w, b)), "direct")
    chosen, direct = layer(x, w, b, "auto"), layer(x, w, b, "direct")
    assert not np.array_equal(chosen, direct), "not chosen for this layer"
    assert largest_error(chosen, exact) <= 4 * largest_error(direct, exact)


def test_relu_that_is_fused():
    x, w, b, settings = make("other_padding")
    plain = F.conv2d(x, w, b, **settings)
    y, pull = tenfold.vjp(lambda x: F.relu(F.conv2d(x, w, b, **settings)), x)
    np.testing.assert_array_equal(y, np.maximum(plain, 0))
    dy = np.ones_like(y)
    (dx,) = pull(dy)
    masked = dy * (plain >= 0)
    np.testing.assert_array_equal(dx, tenfold.vjp(lambda x: F.conv2d(x, w, b, **settings), x)[1](masked)[0])


def test_a_border_that_is_no_number_stays_outside():
    x, w, b, settings = make("padding_of_the_phases")
    y = F.conv2d(x, w, b, border_value=np.inf, **settings)
    assert np.isfinite(y[:, :, 2:-2, 2:-2]).all()
    assert not np.isfinite(y[:, :, 0, 0]).any()

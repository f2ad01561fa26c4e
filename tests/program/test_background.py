"""Dense layers of data most of which has one value: the value is subtracted, and what is left of it is skipped."""

from __future__ import annotations

import numpy as np
import pytest
from tests.program.test_lanes import compile_program, run
from tests.tolerance import assert_close

from tenfold import functional as F

SHAPE, HIDDEN, CLASSES = (1, 9, 11), 43, 5


def logits(x, w1, b1, w2, b2):
    return (F.linear(F.relu(F.linear(F.flatten(x, 1), w1, b1)), w2, b2),)


def loss(x, labels, *weights):
    return (F.cross_entropy(logits(x, *weights)[0], labels),)


def drawings(batch, backgrounds, dtype, share=0.8):
    """Return samples of which `share` has the background's value, in runs, so that whole columns do."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((batch, np.prod(SHAPE)))
    behind = np.repeat(rng.random((batch, 33)) < share, 3, axis=1)
    behind[:, 0] = True
    return np.where(behind, np.resize(backgrounds, (batch, 1)), x).reshape(batch, *SHAPE).astype(dtype)


def weights(dtype):
    rng = np.random.default_rng(6)
    shapes = [(HIDDEN, np.prod(SHAPE)), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,)]
    return [(rng.standard_normal(s) / np.sqrt(s[-1])).astype(dtype) for s in shapes]


BACKGROUNDS = {"zero": [0.0], "one_value": [-0.42], "of_each_sample": [0.0, 3.0, -0.5, 0.1], "large": [1e4]}


@pytest.mark.parametrize("share", [0.8, 0.45], ids=["most", "less_than_half"])
@pytest.mark.parametrize("batch", [17, 32])
@pytest.mark.parametrize("backgrounds", BACKGROUNDS.values(), ids=BACKGROUNDS)
def test_values_and_gradients_equal_one_operation_per_node(backgrounds, batch, share, isa):
    labels = np.arange(batch) % CLASSES
    for dtype in (np.float32, np.float64):
        arrays = [drawings(batch, backgrounds, dtype, share), labels, *weights(dtype)]
        outputs, gradients, kinds = run(loss, arrays)
        assert kinds == ["lane_segment"]
        doubles = [a if a.dtype == np.int64 else a.astype(np.float64) for a in arrays]
        expected_outputs, expected_gradients, _ = run(loss, doubles, fuse=False)
        for actual, expected in zip(
            [*outputs, *gradients], [*expected_outputs, *expected_gradients], strict=True
        ):
            assert_close(actual, expected, terms=1000)


def test_the_error_is_that_of_a_sum_of_products(isa):
    """Subtracting the background may not err more than what it replaces: a sum of |w| |x| times the precision."""
    w1, b1 = weights(np.float32)[:2]
    for background in (1e4, 1.0, -0.42, 1e-4):
        x = drawings(32, [background], np.float32)
        hidden = compile_program(lambda x, w, b: (F.relu(F.linear(F.flatten(x, 1), w, b)),), [x, w1, b1])
        assert hidden.kinds == ["lane_segment"]
        flat = x.reshape(len(x), -1).astype(np.float64)
        exact = np.maximum(flat @ w1.T.astype(np.float64) + b1, 0)
        bound = np.abs(flat) @ np.abs(w1.T.astype(np.float64)) + np.abs(b1)
        error = np.abs(hidden.forward([x, w1, b1])[0] - exact) / bound
        assert error.max() <= 8 * np.finfo(np.float32).eps


def test_a_sample_does_not_depend_on_the_others(isa):
    arrays = weights(np.float32)
    x = drawings(48, BACKGROUNDS["of_each_sample"], np.float32)
    program = compile_program(logits, [x, *arrays], wanted=[])
    assert program.kinds == ["lane_segment"]
    y = program.forward([x, *arrays])[0].copy()
    order = np.random.default_rng(7).permutation(len(x))
    np.testing.assert_array_equal(program.forward([x[order], *arrays])[0], y[order])


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_sample_that_is_not_finite_spoils_only_itself(value, isa):
    arrays = weights(np.float32)
    x = drawings(32, [0.25], np.float32)
    program = compile_program(logits, [x, *arrays], wanted=[])
    y = program.forward([x, *arrays])[0].copy()
    x[3] = value
    spoilt = program.forward([x, *arrays])[0]
    assert np.isnan(spoilt[3]).all()
    np.testing.assert_array_equal(np.delete(spoilt, 3, axis=0), np.delete(y, 3, axis=0))


def test_inputs_that_are_an_output_as_well_get_both_gradients(isa):
    def flat_too(x, labels, *weights):
        flat = F.flatten(x, 1)
        w1, b1, w2, b2 = weights
        z = F.linear(F.relu(F.linear(flat, w1, b1)), w2, b2)
        return F.cross_entropy(z, labels), flat

    arrays = [drawings(32, [0.5], np.float64), np.arange(32) % CLASSES, *weights(np.float64)]
    outputs, gradients, kinds = run(flat_too, arrays)
    assert "lane_segment" in kinds
    expected_outputs, expected_gradients, _ = run(flat_too, arrays, fuse=False)
    for actual, expected in zip(
        [*outputs, *gradients], [*expected_outputs, *expected_gradients], strict=True
    ):
        assert_close(actual, expected, terms=10_000)

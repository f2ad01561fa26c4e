"""Segments that run by sample: a program with them equals the same program without, one operation per node."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tolerance import assert_close

from tenfold import _core
from tenfold import functional as F
from tenfold.graph._trace import Trace


def lenet(x, labels, w1, b1, w2, b2, w3, b3, w4, b4):
    x = F.max_pool2d(F.relu(F.conv2d(x, w1, b1, padding=2)), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, w2, b2), at_zero=0), 2)
    x = F.linear(F.relu(F.linear(F.flatten(x, 1), w3, b3)), w4, b4)
    return F.cross_entropy(x, labels), F.accuracy(x, labels)


def strided(x, labels, w1, w2, b2, w3):
    x = F.relu(F.conv2d(x, w1, stride=2, padding=((2, 1), (0, 1))), at_zero=0.5)
    x = F.relu(F.max_pool2d(F.conv2d(x, w2, b2, stride=(1, 2), padding=1), 3, stride=2, padding=1))
    return (F.cross_entropy(F.linear(F.flatten(x, 1), w3), labels, ignore_index=1),)


def dilated(x, labels, w1, b1, w2, w3):
    x = F.max_pool2d(F.conv2d(x, w1, b1, dilation=2, padding=3), (3, 2), ceil_mode=True)
    x = F.flatten(F.relu(F.conv2d(x, w2, stride=3, dilation=(1, 2))), 1)
    return (F.cross_entropy(F.linear(x, w3), labels),)


def dense(x, labels, w1, b1, w2, b2):
    return (F.cross_entropy(F.linear(F.relu(F.linear(F.flatten(x, 1), w1, b1)), w2, b2), labels),)


def features(x, labels, w1, b1, w2):
    return (F.relu(F.conv2d(F.max_pool2d(F.relu(F.conv2d(x, w1, b1)), 2), w2)),)


def logits_too(x, labels, w1, b1, w2):
    z = F.linear(F.flatten(F.relu(F.conv2d(x, w1, b1)), 1), w2)
    return F.cross_entropy(z, labels), z


# function, shape of a sample, classes, shapes of the weights
NETS = {
    "lenet": (
        lenet,
        (1, 12, 12),
        5,
        [(6, 1, 5, 5), (6,), (16, 6, 3, 3), (16,), (11, 64), (11,), (5, 11), (5,)],
    ),
    "strides_and_uneven_padding": (strided, (3, 13, 11), 4, [(7, 3, 4, 3), (5, 7, 2, 3), (5,), (4, 40)]),
    "dilation_and_ceil_mode": (dilated, (2, 10, 12), 3, [(5, 2, 3, 3), (5,), (4, 5, 2, 3), (3, 4)]),
    "dense_layers": (dense, (1, 5, 7), 3, [(37, 35), (37,), (3, 37), (3,)]),
    "no_loss": (features, (2, 9, 8), 1, [(5, 2, 3, 2), (5,), (9, 5, 2, 2)]),
    "logits_are_an_output": (logits_too, (2, 6, 5), 4, [(6, 2, 3, 3), (6,), (4, 72)]),
}


def arrays_of(name, batch, dtype):
    function, sample, classes, weights = NETS[name]
    rng = np.random.default_rng(3)
    x = rng.standard_normal((batch, *sample)).astype(dtype)
    labels = rng.integers(0, classes, batch)
    fan_in = [np.prod(s[1:], initial=1) for s in weights]
    w = [(rng.standard_normal(s) / np.sqrt(n)).astype(dtype) for s, n in zip(weights, fan_in, strict=True)]
    return function, [x, labels, *w]


def compile_program(function, arrays, *, fuse=True, wanted=None, differentiated=None):
    trace = Trace()
    symbols = [trace.input(a.shape, a.dtype) for a in arrays]
    outputs = function(*symbols)
    if wanted is None:
        wanted = [0, *range(2, len(arrays))]
    return _core.Program(
        trace.graph, [s.id for s in symbols], [o.id for o in outputs], gradients=[symbols[i].id for i in wanted],
        differentiated_outputs=differentiated, fuse=fuse,
    )  # fmt: skip


def run(function, arrays, **options):
    """Return outputs, gradients and kinds of nodes; gradients of outputs are made of ones and twos."""
    program = compile_program(function, arrays, **options)
    outputs = program.forward(arrays)
    d_outputs = [np.asarray(1 + np.arange(o.size).reshape(o.shape) % 2, dtype=o.dtype) for o in outputs]
    return outputs, program.backward(d_outputs), program.kinds


@pytest.mark.parametrize("batch", [17, 32])
@pytest.mark.parametrize("name", NETS)
def test_float64_equals_one_operation_per_node(name, batch, isa):
    function, arrays = arrays_of(name, batch, np.float64)
    outputs, gradients, kinds = run(function, arrays)
    assert kinds == ["lane_segment"]
    expected_outputs, expected_gradients, expected_kinds = run(function, arrays, fuse=False)
    assert "lane_segment" not in expected_kinds
    for actual, expected in zip(
        [*outputs, *gradients], [*expected_outputs, *expected_gradients], strict=True
    ):
        assert_close(actual, expected, terms=10_000)


def test_float32_is_near_float64(isa):
    function, arrays = arrays_of("lenet", 64, np.float32)
    outputs, gradients, _ = run(function, arrays)
    doubles = [a if a.dtype == np.int64 else a.astype(np.float64) for a in arrays]
    expected_outputs, expected_gradients, _ = run(function, doubles, fuse=False)
    for actual, expected in zip(
        [*outputs, *gradients], [*expected_outputs, *expected_gradients], strict=True
    ):
        assert_close(actual, expected, terms=1000)


@pytest.mark.parametrize("size", [(6, 6), (6, 7), (7, 6), (9, 12)])
def test_pixels_that_no_window_covers_have_no_gradient(size, isa):
    def net(x, labels, w1, b1, w2):
        z = F.max_pool2d(F.conv2d(x, w1, b1), 2)
        return (F.cross_entropy(F.linear(F.flatten(z, 1), w2), labels),)

    rng = np.random.default_rng(5)
    pooled = 4 * ((size[0] - 1) // 2) * ((size[1] - 1) // 2)
    shapes = [(17, 3, *size), (4, 3, 2, 2), (4,), (5, pooled)]
    x, *w = (rng.standard_normal(s) for s in shapes)
    arrays = [x, rng.integers(0, 5, 17), *w]
    _, gradients, kinds = run(net, arrays, wanted=[2, 3, 4])
    assert kinds == ["lane_segment"]
    _, expected, _ = run(net, arrays, wanted=[2, 3, 4], fuse=False)
    for actual, one_by_one in zip(gradients, expected, strict=True):
        assert_close(actual, one_by_one, terms=1000)


@pytest.mark.parametrize("batch", [16, 31, 64, 65])
@pytest.mark.parametrize("name", NETS)
def test_same_bits_at_every_thread_count(name, batch):
    function, arrays = arrays_of(name, batch, np.float32)
    results = []
    before = _core.num_threads()
    try:
        for threads in (1, 2, 5, 16):
            _core.set_num_threads(threads)
            outputs, gradients, _ = run(function, arrays)
            results.append([*outputs, *gradients])
    finally:
        _core.set_num_threads(before)
    for together in results[1:]:
        for a, b in zip(results[0], together, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "wanted", [[2], [3, 5], list(range(2, 10))], ids=["first_weight", "some_biases", "all_but_x"]
)
def test_gradients_that_nobody_wants_change_nothing(wanted):
    function, arrays = arrays_of("lenet", 32, np.float64)
    _, gradients, _ = run(function, arrays, wanted=wanted, differentiated=1)
    _, expected, _ = run(function, arrays, wanted=wanted, differentiated=1, fuse=False)
    for a, b in zip(gradients, expected, strict=True):
        assert_close(a, b, terms=10_000)


def test_the_gradient_of_the_loss_scales(isa):
    function, arrays = arrays_of("dense_layers", 20, np.float64)
    program = compile_program(function, arrays, wanted=[2, 3])
    program.forward(arrays)
    once = [g.copy() for g in program.backward([np.array(1.0)])]
    program.forward(arrays)
    for a, b in zip(program.backward([np.array(-3.0)]), once, strict=True):
        assert_close(a, -3 * b)


def test_small_batches_and_large_layers_stay_apart():
    function, arrays = arrays_of("lenet", 15, np.float32)
    assert "lane_segment" not in compile_program(function, arrays).kinds
    x, w = np.zeros((16, 64, 64, 64), np.float32), np.zeros((64, 64, 3, 3), np.float32)
    large = compile_program(lambda x, w: (F.relu(F.conv2d(F.relu(F.conv2d(x, w)), w)),), [x, w], wanted=[1])
    assert "lane_segment" not in large.kinds


def test_a_branch_ends_a_segment():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 3, 6, 6))
    w = [rng.standard_normal((3, 3, 3, 3)) for _ in range(4)]

    def residual(x, labels, a, b, c, d):
        y = F.relu(F.conv2d(F.relu(F.conv2d(x, a, padding=1)), b, padding=1))
        z = F.conv2d(F.relu(F.conv2d(y, c, padding=1)), d, padding=1)
        return (F.relu(F.add(y, z)),)

    arrays = [x, np.zeros(16, np.int64), *w]
    outputs, gradients, kinds = run(residual, arrays)
    assert kinds.count("lane_segment") == 2
    expected_outputs, expected_gradients, _ = run(residual, arrays, fuse=False)
    for a, b in zip([*outputs, *gradients], [*expected_outputs, *expected_gradients], strict=True):
        assert_close(a, b, terms=10_000)


def test_labels_out_of_range_are_refused_as_by_the_loss_itself():
    function, arrays = arrays_of("dense_layers", 40, np.float32)
    arrays[1][37] = 3
    program = compile_program(function, arrays)
    with pytest.raises(
        ValueError, match=r"cross_entropy: target must hold labels from 0 to 2 .*received 3 at position 37"
    ):
        program.forward(arrays)


def test_a_batch_of_ignored_labels_has_no_mean():
    function, arrays = arrays_of("strides_and_uneven_padding", 16, np.float64)
    arrays[1][:] = 1
    with np.errstate(invalid="ignore"):
        outputs, _, _ = run(function, arrays)
    assert np.isnan(outputs[0])


def test_nan_reaches_loss_and_gradients():
    function, arrays = arrays_of("lenet", 16, np.float32)
    arrays[0][3, 0, 5, 5] = np.nan
    outputs, gradients, _ = run(function, arrays)
    assert np.isnan(outputs[0])
    assert np.isnan(gradients[1]).any()


# Layers for which the cost chooses Winograd's form in all or some operators; bench/winograd_error.py lanes has more.
@pytest.mark.parametrize("kind", ["normal", "after_relu", "positive"])
@pytest.mark.parametrize(("n", "c", "f", "size", "kernel", "padding"), [
    (64, 6, 16, 14, 5, 0), (32, 8, 24, 16, 3, 1), (32, 16, 16, 32, 3, 1), (17, 32, 24, 15, 3, 1),
    (20, 16, 24, 13, 5, 2), (16, 8, 24, 8, 3, 1),
])  # fmt: skip
def test_the_chosen_forms_err_at_most_four_times_as_much_as_direct(n, c, f, size, kernel, padding, kind):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((n, c, size, size))
    dy = rng.standard_normal((n, f, *[size + 2 * padding + 1 - kernel] * 2))
    w = rng.standard_normal((f, c, kernel, kernel)) / np.sqrt(kernel**2 * c)
    x, w = {"normal": (x, w), "after_relu": (np.maximum(x, 0), w), "positive": (np.abs(x), np.abs(w))}[kind]

    def passes(x, w, algorithm):
        # Layers of 1x1 that change nothing make a chain of one layer.
        before, after = (np.eye(k, dtype=x.dtype)[:, :, None, None] for k in (c, f))

        def chain(x, before, w, after):
            return (F.conv2d(F.conv2d(F.conv2d(x, before), w, padding=padding, algorithm=algorithm), after),)

        program = compile_program(chain, [x, before, w, after], wanted=[0, 2])
        assert program.kinds == ["lane_segment"]
        y = program.forward([x, before, w, after])[0]
        return [y, *program.backward([dy.astype(x.dtype)])]

    exact = passes(x, w, "auto")
    x, w = x.astype(np.float32), w.astype(np.float32)
    chosen, direct = passes(x, w, "auto"), passes(x, w, "direct")
    assert not all(np.array_equal(a, b) for a, b in zip(chosen, direct, strict=True)), "not chosen"
    for a, d, e in zip(chosen, direct, exact, strict=True):
        assert np.max(np.abs(a - e)) <= 4 * np.max(np.abs(d - e))


def test_direct_forbids_other_forms():
    """Only in the direct form does an infinity stay within the windows that see it."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((16, 16, 16, 16)).astype(np.float32)
    x[0, 0, 0, 0] = np.inf
    w = rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
    finite = {}
    for algorithm in ("auto", "direct"):

        def chain(x, w, algorithm=algorithm):
            y = F.relu(F.conv2d(x, w, padding=1, algorithm=algorithm))
            return (F.flatten(F.max_pool2d(y, 1), 1),)

        program = compile_program(chain, [x, w], wanted=[1])
        assert program.kinds == ["lane_segment"]
        finite[algorithm] = np.isfinite(program.forward([x, w])[0].reshape(x.shape)[0])
    assert not finite["auto"][:, 2:4, 2:4].all()
    finite["direct"][:, :2, :2] = True
    assert finite["direct"].all()

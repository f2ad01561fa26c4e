"""Small nets drawn at random: what a program fuses equals one operation per node, with the same bits for every team."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_close

from tenfold import _core
from tenfold import functional as F
from tenfold.graph import Trace


def window(draw, size, kernels, strides, most_padding):
    """Return kernel, stride and padding that fit an image of this size, or None."""
    kernel, stride = draw(st.sampled_from(kernels)), draw(st.sampled_from(strides))
    padding = draw(st.integers(0, min(most_padding, kernel // 2)))
    return (kernel, stride, padding) if min(size) + 2 * padding >= kernel else None


def after(size, kernel, stride, padding):
    return tuple((s + 2 * padding - kernel) // stride + 1 for s in size)


@st.composite
def nets(draw):
    """Return shapes of a sample and of the weights, and a list of layers."""
    channels, size = draw(st.integers(1, 3)), (draw(st.integers(5, 16)), draw(st.integers(5, 16)))
    sample, shapes, layers = (channels, *size), [], []
    for _ in range(draw(st.sampled_from([1, 1, 2, 0]))):
        conv = window(draw, size, [1, 2, 3, 3, 4, 5], [1, 1, 1, 2, 3], 2)
        if conv is None:
            break
        features = draw(st.integers(1, 9))
        shapes.append((features, channels, conv[0], conv[0]))
        channels, size = features, after(size, *conv)
        bias = draw(st.booleans())
        if bias:
            shapes.append((features,))
        layers.append(("conv", conv, bias))
        if draw(st.booleans()):
            layers.append(("relu", draw(st.sampled_from([0.0, 0.5, 1.0]))))
        pool = window(draw, size, [2, 2, 3], [2, 2, 1], 1)
        if pool is not None and draw(st.sampled_from([True, True, False])):
            layers.append((draw(st.sampled_from(["max", "max", "avg"])), pool))
            size = after(size, *pool)
    layers.append(("flatten",))
    inputs = channels * size[0] * size[1]
    for outputs in [*draw(st.lists(st.integers(1, 40), max_size=2)), 5]:
        shapes += [(outputs, inputs), (outputs,)]
        layers.append(("linear",))
        if draw(st.booleans()):
            layers.append(("relu", 1.0))
        inputs = outputs
    return sample, shapes, layers


def loss(layers, x, labels, weights):
    weights = iter(weights)
    for kind, *options in layers:
        if kind == "conv":
            (_, stride, padding), bias = options
            w = next(weights)
            x = F.conv2d(x, w, next(weights) if bias else None, stride=stride, padding=padding)
        elif kind in ("max", "avg"):
            kernel, stride, padding = options[0]
            x = (F.max_pool2d if kind == "max" else F.avg_pool2d)(x, kernel, stride, padding=padding)
        elif kind == "relu":
            x = F.relu(x, at_zero=options[0])
        elif kind == "linear":
            x = F.linear(x, next(weights), next(weights))
        else:
            x = F.flatten(x, 1)
    return F.cross_entropy(x, labels)


def run(layers, arrays, wanted, *, fuse, threads):
    trace = Trace()
    symbols = [trace.input(a.shape, a.dtype) for a in arrays]
    output = loss(layers, symbols[0], symbols[1], symbols[2:])
    before = _core.num_threads()
    _core.set_num_threads(threads)
    try:
        program = _core.Program(
            trace.graph, [s.id for s in symbols], [output.id], gradients=[symbols[i].id for i in wanted],
            fuse=fuse,
        )  # fmt: skip
        (value,) = program.forward(arrays)
        return [value, *program.backward([np.ones_like(value)])]
    finally:
        _core.set_num_threads(before)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_drawn_nets(data):
    sample, shapes, layers = data.draw(nets())
    batch = data.draw(st.sampled_from([1, 16, 17, 33]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.standard_normal((batch, *sample))
    if data.draw(st.booleans()):
        x[rng.random(x.shape) < 0.6] = 0  # a background
    weights = [rng.standard_normal(s) / np.sqrt(np.prod(s[1:], initial=1)) for s in shapes]
    arrays = [x, rng.integers(0, 5, batch), *weights]
    wanted = [0] * data.draw(st.sampled_from([0, 0, 1])) + list(range(2, len(arrays)))
    isa = _core.isa()
    _core.set_isa(data.draw(st.sampled_from(_core.available_isas())))
    try:
        fused = run(layers, arrays, wanted, fuse=True, threads=1)
        plain = run(layers, arrays, wanted, fuse=False, threads=1)
        # A gradient of a few weights may nearly cancel: how large its terms are, the others tell.
        largest = max(float(np.max(np.abs(gradient), initial=0)) for gradient in plain[1:])
        for i, (actual, expected) in enumerate(zip(fused, plain, strict=True)):
            few = i > 0 and expected.size < 8
            assert_close(actual, expected, terms=10_000, scale=largest if few else None)
        single = [a if a.dtype == np.int64 else a.astype(np.float32) for a in arrays]
        for one, two in zip(
            run(layers, single, wanted, fuse=True, threads=1),
            run(layers, single, wanted, fuse=True, threads=2),
            strict=True,
        ):
            np.testing.assert_array_equal(one, two)
    finally:
        _core.set_isa(isa)

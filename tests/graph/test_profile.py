"""A profile has every operation, its work, and times that add up."""

import numpy as np
import pytest

import tenfold
from tenfold import _core, nn
from tenfold import functional as F

LENET = 2 * np.array([28 * 28 * 6 * 25, 10 * 10 * 16 * 150, 120 * 400, 84 * 120, 10 * 84])  # per sample


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def images(batch, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(batch, 1, 28, 28)).astype(dtype)


def with_weights(profile):
    return [o for o in profile.operations if o.kind.split("+")[0] in ("conv", "linear")]


def test_layer_by_layer_the_work_is_what_the_layers_say():
    n = 2
    p = tenfold.profile(lenet(), images(n), np.arange(n), nn.CrossEntropyLoss(), fuse=False, seconds=0.001)
    kinds = [
        "conv", "relu", "max_pool", "conv", "relu", "max_pool",
        "linear", "relu", "linear", "relu", "linear", "cross_entropy",
    ]  # fmt: skip
    assert [o.kind for o in p.operations][:12] == kinds
    assert [o.name for o in p.operations][:3] == ["0", "1", "2"]
    assert p.operations[3].output_shape == (n, 16, 10, 10)
    layers = with_weights(p)
    assert [o.forward.flops for o in layers] == list(n * LENET)
    # The first layer's input is data: no gradient of it is computed.
    assert [o.backward.flops for o in layers] == [n * LENET[0], *(2 * n * LENET[1:])]
    # The gradient of the loss is read where it is, not copied.
    assert len(p.operations) == 12


@pytest.mark.parametrize("where", ["loss inside", "loss outside"])
def test_a_chain_in_lanes_counts_the_work_of_its_layers(where):
    n = 32
    if where == "loss inside":
        p = tenfold.profile(lenet(), images(n), np.arange(n) % 10, nn.CrossEntropyLoss(), seconds=0.001)
    else:
        p = tenfold.profile(lenet(), images(n), seconds=0.001)
    chain = p.operations[0]
    assert chain.kind == "lane_segment"
    assert chain.label == "0 … 11"
    both = 3 * LENET.sum() - LENET[0]
    assert p.forward.flops + p.backward.flops == n * both
    if where == "loss inside":  # the blocks' backward runs in forward; dense weights' gradients follow
        assert chain.backward.flops == n * LENET[2:].sum()
    else:
        assert chain.forward.flops == n * LENET.sum()


def test_inference_has_no_backward():
    p = tenfold.profile(lenet().eval(), images(2), backward=False, seconds=0.001)
    assert p.backward is None
    assert all(o.backward is None for o in p.operations)
    assert [o.kind for o in p.operations][:2] == ["conv+relu", "max_pool"]
    assert "backward" not in str(p)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_times_add_up(threads, dtype):
    w = np.random.default_rng(1).normal(size=(256, 256)).astype(dtype)
    p = tenfold.profile(
        lambda x: F.relu(F.linear(x, w)), np.ones((256, 256), dtype), fuse=False, seconds=0.02
    )
    assert p.threads == threads
    assert p.dtype == np.dtype(dtype).name
    assert p.repetitions >= 5
    linear = p.operations[0]
    assert linear.forward.flops == 2 * 256**3
    assert linear.backward.flops == 2 * 256**3  # w is a constant: the gradient of x alone
    for o in p.operations:
        for t in (o.forward, o.backward):
            assert t is None or 0 < t.best <= t.seconds
    fastest = sum(t.best for o in p.operations for t in (o.forward, o.backward) if t)
    rounding = 1 + 1e-9  # of sums in another order
    assert fastest <= (p.forward.best + p.backward.best) * rounding <= p.seconds * rounding**2
    assert p.peak > 0


def test_a_branch_shows_where_gradients_meet():
    p = tenfold.profile(lambda x: F.relu(x) + F.tanh(x), np.ones((4, 5)), seconds=0.001)
    assert [o.kind for o in p.operations] == ["relu", "tanh", "add", "sums of gradients"]
    assert p.operations[-1].backward.flops == 20


def test_the_model_stays_as_it_is():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    before = {name: array.copy() for name, array in model.state_dict().items()}
    tenfold.profile(model, images(3), seconds=0.001)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_table_has_a_line_for_every_operation():
    p = tenfold.profile(lenet(), images(2), seconds=0.001)
    text = str(p)
    for o in p.operations:
        assert any(line.startswith(o.label) and o.kind in line for line in text.splitlines()), o
    assert "input 2 x 1 x 28 x 28, float32" in text
    assert f"peak {p.peak / 1e9:.0f} GFLOP/s" in text


def test_a_callback_that_fails_is_reported():
    class Broken(tenfold.Function):
        def forward(self, x):
            raise RuntimeError("no such thing")

        def backward(self, inputs, outputs, grads):
            return grads

    with pytest.raises(RuntimeError, match="no such thing"):
        tenfold.profile(Broken(), np.ones((2, 3)), seconds=0.001)


def test_what_makes_no_sense_is_refused():
    x = images(2)
    with pytest.raises(ValueError, match="target and loss must be given together"):
        tenfold.profile(lenet(), x, np.arange(2))
    with pytest.raises(ValueError, match=r"the loss must be one number; received shape \(2,\)"):
        tenfold.profile(lenet(), x, np.arange(2), nn.CrossEntropyLoss(reduction="none"))
    with pytest.raises(TypeError, match="x must be a float32, float64 or int64 array; received list"):
        tenfold.profile(lenet(), [1.0])
    with pytest.raises(ValueError, match="must compute something"):
        tenfold.profile(lambda a: a, x, backward=False)
    program = tenfold.graph.InferenceProgram(F.relu, [((2,), np.float32)])
    with pytest.raises(ValueError, match="repetitions must be positive; received 0"):
        program.core.profile([np.ones(2, np.float32)], [], 0, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_peak_is_that_of_multiply_adds(isa, dtype):
    peak = _core.fma_peak(np.dtype(dtype), 0.002)
    assert 1e8 < peak < 1e13
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        _core.fma_peak(np.dtype(np.int64))

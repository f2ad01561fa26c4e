"""Module: parts by name, state, files."""

from __future__ import annotations

import copy
import os
import pickle

import numpy as np
import pytest

from tenfold import io, nn

RNG = np.random.default_rng(1)


class Affine(nn.Module):
    def __init__(self, inputs, outputs, dtype=np.float32):
        super().__init__()
        self.weight = nn.Parameter(RNG.standard_normal((outputs, inputs)).astype(dtype))
        self.bias = nn.Parameter(np.zeros(outputs, dtype))
        self.count = nn.Buffer(np.array(0, np.int64))


class Net(nn.Module):
    def __init__(self, dtype=np.float32):
        super().__init__()
        self.body = nn.Sequential(Affine(3, 5, dtype), nn.ReLU(), Affine(5, 7, dtype))
        self.scale = nn.Parameter(np.ones(2, dtype))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Affine(3, 3)
        self.b = Affine(3, 3)
        self.b.weight = self.a.weight


def snapshot(model):
    return {name: array.copy() for name, array in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_names_are_those_of_torch():
    assert list(Net().state_dict()) == [
        "scale",
        "body.0.weight",
        "body.0.bias",
        "body.0.count",
        "body.2.weight",
        "body.2.bias",
        "body.2.count",
    ]


def test_state_dict_is_live():
    model = Net()
    model.state_dict()["scale"][0] = 9
    assert model.scale.data.tolist() == [9, 1]


def test_num_parameters_leaves_out_buffers_and_counts_shared_ones_once():
    assert Net().num_parameters() == 2 + (15 + 5) + (35 + 7)
    assert Tied().num_parameters() == 9 + 3 + 3


def test_load_state_dict_keeps_the_arrays_in_place():
    a, b = Net(), Net()
    held = a.scale.data
    b.scale.data[:] = 4
    a.load_state_dict(b.state_dict())
    assert a.scale.data is held
    assert same(a.state_dict(), b.state_dict())


def test_read_only_parameter_is_replaced():
    model = nn.Module()
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    model.p = nn.Parameter(frozen)
    model.load_state_dict({"p": np.arange(3.0)})
    assert model.p.data.tolist() == [0, 1, 2]
    assert frozen.tolist() == [0, 0, 0]


def test_floats_of_another_width_are_converted():
    a, b = Net(np.float32), Net(np.float64)
    a.load_state_dict(b.state_dict())
    assert a.scale.dtype == np.float32
    assert np.array_equal(a.body[0].weight.data, b.body[0].weight.data.astype(np.float32))


def test_all_that_differs_is_listed_and_nothing_is_assigned():
    model = Net()
    before = snapshot(model)
    state = {name: array + 1 for name, array in before.items()}
    del state["body.0.bias"]
    state["head"] = np.zeros(1)
    state["body.2.weight"] = np.zeros((7, 6))
    with pytest.raises(ValueError, match=r"Net.load_state_dict: .*another architecture") as caught:
        model.load_state_dict(state)
    for part in (
        "missing: body.0.bias",
        "unexpected: head",
        r"body.2.weight has shape (7, 6) instead of (7, 5)",
    ):
        assert part in str(caught.value)
    assert same(before, snapshot(model))


def test_not_strict_passes_over_names_but_not_shapes():
    model = Net()
    model.load_state_dict({"scale": np.full(2, 5.0), "head": np.zeros(1)}, strict=False)
    assert model.scale.data.tolist() == [5, 5]
    with pytest.raises(ValueError, match="scale has shape"):
        model.load_state_dict({"scale": np.zeros(3)}, strict=False)


@pytest.mark.parametrize("value", [np.zeros(2, np.int64), np.array([None, None]), np.array(["a", "b"])])
def test_other_kinds_of_arrays_are_refused(value):
    with pytest.raises(TypeError, match=r"Net.load_state_dict: scale must be float32; received dtype"):
        Net().load_state_dict({"scale": value}, strict=False)
    with pytest.raises(TypeError, match="state must be a mapping"):
        Net().load_state_dict([("scale", value)])


class TestSharedParameters:
    def test_stand_under_every_name(self):
        assert {"a.weight", "b.weight"} <= Tied().state_dict().keys()

    def test_load_from_one_or_from_equal_names(self):
        model = Tied()
        state = snapshot(model)
        state["a.weight"] += 1
        state["b.weight"] += 1
        model.load_state_dict(state)
        assert np.array_equal(model.b.weight.data, state["a.weight"])
        del state["a.weight"]
        model.load_state_dict(state)

    def test_refuse_names_that_disagree(self):
        model = Tied()
        state = snapshot(model)
        state["a.weight"] += 1
        with pytest.raises(
            ValueError, match=r"a.weight and b.weight are one array in the model but differ here"
        ):
            model.load_state_dict(state)


class TestFile:
    def test_round_trip(self, tmp_path):
        path = tmp_path / "net.safetensors"
        a, b = Net(), Net()
        a.body[0].count.data[...] = 3
        a.save(path)
        assert not same(a.state_dict(), b.state_dict())
        b.load(path)
        assert same(a.state_dict(), b.state_dict())
        assert os.listdir(tmp_path) == ["net.safetensors"]

    def test_another_architecture_changes_nothing(self, tmp_path):
        path = tmp_path / "net.safetensors"
        Tied().save(path)
        model = Net()
        before = snapshot(model)
        with pytest.raises(ValueError, match=r"missing: scale.*unexpected: .*a.weight"):
            model.load(path)
        assert same(before, snapshot(model))

    def test_damage_changes_nothing(self, tmp_path):
        path = tmp_path / "net.safetensors"
        model = Net()
        model.save(path)
        whole = bytearray(path.read_bytes())
        whole[-1] ^= 1
        path.write_bytes(whole)
        before = snapshot(model)
        with pytest.raises(ValueError, match="checksum does not match"):
            model.load(path)
        assert same(before, snapshot(model))

    def test_a_plain_safetensors_file_loads(self, tmp_path):
        import safetensors.numpy

        path = tmp_path / "other.safetensors"
        a, b = Net(), Net()
        safetensors.numpy.save_file(a.state_dict(), path)
        b.load(path)
        assert same(a.state_dict(), b.state_dict())
        assert io.load_safetensors(path)[1] == {}


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copied", "pickled"]
)
def test_a_model_in_use_can_be_copied(twin):
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)
    ).eval()
    x = np.linspace(-1, 1, 50, dtype=np.float32).reshape(2, 1, 5, 5)
    expected = model(x)
    other = twin(model)
    np.testing.assert_array_equal(other(x), expected)
    assert not other.training
    other.load_state_dict({name: np.zeros_like(a) for name, a in other.state_dict().items()})
    np.testing.assert_array_equal(other(x), np.zeros((2, 3)))
    np.testing.assert_array_equal(model(x), expected)

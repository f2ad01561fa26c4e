"""ModuleList: parameters are found, it behaves like a list, and it cannot be called."""

import numpy as np
import pytest

import tenfold
from tenfold import nn


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.floors = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 2)])

    def forward(self, x):
        for floor in self.floors:
            x = floor(x)
        return x


def test_parameters_have_torchs_names_and_the_parts_are_trained_and_saved(tmp_path):
    tower = Tower()
    assert list(tower.state_dict()) == [
        "floors.0.weight", "floors.0.bias", "floors.1.weight", "floors.1.bias",
    ]  # fmt: skip
    x = np.ones((4, 3), np.float32)
    y = tower(x)
    assert y.shape == (4, 2)
    tower.save(tmp_path / "tower.safetensors")
    other = Tower()
    other.load(tmp_path / "tower.safetensors")
    np.testing.assert_array_equal(other(x), y)


def test_it_is_a_list():
    parts = [nn.ReLU(), nn.Tanh(), nn.Sigmoid()]
    modules = nn.ModuleList(parts[:1]).append(parts[1]).extend(parts[2:])
    assert len(modules) == 3
    assert list(modules) == parts
    assert modules[-1] is parts[2]
    assert list(modules[1:]) == parts[1:]


def test_errors():
    with pytest.raises(TypeError, match="ModuleList: every part must be a Module; received int"):
        nn.ModuleList([3])
    with pytest.raises(TypeError, match="cannot be called"):
        nn.ModuleList([nn.ReLU()])(np.ones(2, np.float32))


def test_summary_names_the_parts():
    rows = tenfold.summary(Tower(), (3,)).rows
    assert [(row.name, row.kind, row.parameters) for row in rows] == [
        ("floors.0", "Linear", 12), ("floors.1", "Linear", 8),
    ]  # fmt: skip

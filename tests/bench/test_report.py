"""The page and the README's table say what the rows of a results file say."""

import math

import measure
import pytest
from tests.bench.results import RESULTS, ROWS

import report


def cells(lines, start):
    """Return the cells of the table row that begins with a text."""
    (found,) = [line for line in lines if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


# What every target must find in ROWS, by hand, and whether that is enough.
FOUND = {
    "LeNet-5 step, batch 64, against the fastest of the others": (11.0, True),
    "LeNet-5 step, other batches, the worst": (5.0, False),
    "MLP step, batch 64": (3.0, True),
    "ResNet-18 for CIFAR step, batch 64": (1.2, False),
    "LeNet-5 inference, the worst batch": (1.5, False),
    "convolutions against PyTorch in NCHW, geometric mean": (2.0, True),
    "convolutions against PyTorch in NCHW, the worst": (1.0, True),
    "convolutions against the better layout, geometric mean": (1.0, False),
    "convolutions against the better layout, the worst": (1.0, True),
    "transposed convolutions against the better layout, geometric mean": (2.0, True),
    "max-pool forward against PyTorch in NCHW, the worst": (10.0, True),
    "max-pool forward against channels_last, the worst": (1.5, False),
    "max-pool backward against the better layout, the worst": (3.0, True),
    "matrix products against the faster of OpenBLAS and MKL, the worst": (0.9, False),
    "large matrix products, the least share of the peak": (0.9, True),
    "element by element and softmax, beyond the caches: the least share of a triad's speed": (0.8, False),
    "memory of a training step, PyTorch's over ours, the worst": (2.0, True),
    "all threads against one, LeNet-5's step and large layers, the worst": (1.9, True),
}


@pytest.mark.parametrize("target", report.TARGETS, ids=lambda t: t.what)
def test_targets(target):
    value, met = FOUND[target.what]
    assert target.found(ROWS) == pytest.approx(value)
    assert cells(report.targets(ROWS), target.what)[-1] == ("yes" if met else "**no**")
    assert target.found([]) is None


def test_targets_that_were_not_measured_are_left_out():
    assert report.targets([]) == []
    assert len(report.targets(ROWS[:1])) == 4  # head, line, one target, an empty line


def test_means_of_layers():
    lines = report.means(report.weighty(ROWS))
    assert cells(lines, "net | forward")[2:] == ["2", "3.46", "1.41", "50 %", "c1: 1.00"]
    assert cells(lines, "all | both")[2:] == ["3", "2.29", "1.26", "50 %", "net c1 forward: 1.00"]


def test_a_table_has_a_column_for_everybody():
    lines = report.peers(ROWS[:2], math.inf)
    assert lines[0] == "| work | tenfold | speed | of peak | torch | jax |"
    assert cells(lines, "LeNet-5 step, batch 64") == [
        "LeNet-5 step, batch 64", "1 s", "0 GFLOP/s", "50 %", "12.00", "11.00",
    ]  # fmt: skip
    assert cells(lines, "LeNet-5 step, batch 16 *")[-2:] == ["5.00", ""]
    assert "\\* fewer than 9 undisturbed turns" in lines


def test_a_triad_has_a_column_but_is_no_library():
    relu, *_ = report.of(ROWS, "elementwise")
    assert report.ratio(relu) == pytest.approx(2.0)
    assert report.peers([relu], math.inf)[0] == "| work | tenfold | speed | of peak | torch | triad |"


def test_rows_with_distant_cores_are_marked():
    rows = [
        {**ROWS[0], "name": name, "round_trip": trip}
        for name, trip in (("a", 5e-8), ("b", 9e-8), ("c", 35e-8))
    ]
    lines = report.peers([*rows, ROWS[2]], report.near([*rows, ROWS[-1]]))
    assert [line.split("|")[1].strip() for line in lines[2:6]] == ["a", "b", "c †", "MLP step"]
    assert lines[-2] == "† cores far from each other: a cache line took 350 ns to and fro"
    assert "†" not in "".join(report.peers(ROWS[:3], report.near(ROWS)))  # not probed


def test_the_page_has_every_part():
    page = report.page(RESULTS, {"step": "a.png", "curves": "b.png", "layers-net": "c.png"})
    lines = page.splitlines()
    assert lines[2] == "CPU (avx2), 2 threads, wall time, 2026-01-01, commit abc; torch 2"
    headings = set(report.HEADINGS.values())
    headings |= {"Targets", "Layers: geometric means against PyTorch", "Cost against work", "C++ benchmarks"}
    assert {line[3:] for line in lines if line.startswith("## ")} == headings
    for picture in ("![Training steps](a.png)", "![Cost against work](b.png)", "![net](c.png)"):
        assert picture in lines
    assert cells(lines, "VGG") == ["VGG", "1.9 s", "1 s", "1.90", "1.50", "2.00"]
    assert cells(lines, "step") == ["step", "10.0", "30.0", "20.0"]
    assert cells(lines, "8") == ["8", "500 ms", "1 s", "500 ms", "50 %"]
    assert cells(lines, "square/64") == ["square/64", "2 µs", "90.0", "90 %"]
    assert cells(lines, "relu/64")[-2:] == ["9.0 GB/s", "80 %"]
    assert cells(lines, "team")[1] == "needs two threads"
    assert "None" not in page


def test_the_page_of_one_part_has_no_empty_headings():
    page = report.page({**RESULTS, "rows": ROWS[2:3], "curves": None, "cpp": []}, {})
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Results", "## Targets", "## Training steps: multi-layer perceptron",
    ]  # fmt: skip


def test_the_readme_table():
    lines = report.readme_table(RESULTS).splitlines()
    assert cells(lines, "MLP step")[-3:] == ["3.00", "", ""]
    assert cells(lines, "1 transposed convolutions, both") == [
        "1 transposed convolutions, both", "PyTorch's better layout", "2.00",
    ]  # fmt: skip
    assert cells(lines, "2 matrix products")[1:] == ["the faster of OpenBLAS and MKL", "0.99"]
    assert lines[-1] == "Measured on CPU (avx2), 2 threads, wall time, 2026-01-01, commit abc; torch 2."


def test_rows_are_marked_by_the_rule_they_were_measured_by():
    assert (report.GOOD_TURNS, report.FARTHER) == (measure.GOOD_TURNS, measure.FARTHER)

"""Parts of a run come together in one file, and what is drawn from it is there."""

import json

import pytest
from tests.bench.results import RESULTS

import run
import shapes


def test_new_rows_replace_those_of_the_same_name():
    old = [{"what": "a", "name": "x", "n": 1}, {"what": "b", "name": "x", "n": 2}]
    new = [{"what": "c", "name": "x", "n": 3}, {"what": "b", "name": "x", "n": 4}]
    merged = run.merge(old, new, ("what", "name"))
    assert [(r["what"], r["n"]) for r in merged] == [("a", 1), ("b", 4), ("c", 3)]


def test_a_file_is_named_by_date_and_processor(tmp_path):
    results = {**RESULTS, "facts": {**RESULTS["facts"], "cpu": "AMD EPYC (9R14)"}}
    assert run.path_of(results, tmp_path) == tmp_path / "2026-01-01-amd-epyc-9r14.json"


def test_results_page_and_pictures_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    files = run.write(RESULTS, tmp_path / "folder" / "r.json")
    names = {file.name for file in files}
    kinds = ("step", "mlp", "resnet", "inference", "gemm", "elementwise", "layers-net", "curves")
    pictures = {f"r-{what}.png" for what in kinds}
    assert names == {"r.json", "r.md", *pictures}
    assert {file.name for file in (tmp_path / "folder").iterdir()} == names
    assert json.loads(files[0].read_text(encoding="utf-8")) == RESULTS
    page = files[-1].read_text(encoding="utf-8")
    for file in files:
        if file.suffix == ".png":
            content = file.read_bytes()
            assert content[:8] == b"\x89PNG\r\n\x1a\n"
            assert int.from_bytes(content[16:20], "big") > 800
            assert f"({file.name})" in page


def test_the_readme_keeps_what_stands_around_its_table(tmp_path):
    results, readme = tmp_path / "r.json", tmp_path / "README.md"
    results.write_text(json.dumps(RESULTS), encoding="utf-8")
    readme.write_text(f"before\n{run.BEGIN}\nan earlier table\n{run.END}\nafter\n", encoding="utf-8")
    for _ in range(2):  # the second time as well
        run.write_table(results, readme)
        text = readme.read_text(encoding="utf-8")
        assert text.startswith(f"before\n{run.BEGIN}\n| work |")
        assert text.endswith(
            f"avx2), 2 threads, wall time, 2026-01-01, commit abc; torch 2.\n{run.END}\nafter\n"
        )
        assert "earlier" not in text
    readme.write_text("no table", encoding="utf-8")
    with pytest.raises(SystemExit, match="once"):
        run.write_table(results, readme)
    assert readme.read_text(encoding="utf-8") == "no table"


NUMBERS = {"gemm": 5, "conv": 11, "conv_transpose": 11, "pool": 7}


def test_every_shape_can_be_read():
    layers = list(shapes.read())
    assert len({layer.title for layer in layers}) == len(layers) > 100
    for layer in layers:
        assert len(layer.numbers) == NUMBERS[layer.kind], layer.title
    assert {layer.model for layer in shapes.read(["lenet"])} == {"lenet"}

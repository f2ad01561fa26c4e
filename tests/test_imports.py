"""``import tenfold`` stays small, and the names of the package are where they are looked for."""

import os
import subprocess
import sys

import pytest

FORBIDDEN = ("matplotlib", "tqdm", "PIL", "safetensors", "argparse", "onnx", "torch", "urllib.request")


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    ).stdout


def test_import_pulls_in_nothing_that_is_not_needed():
    loaded = run("import sys, numpy; import tenfold; print(*sys.modules)").split()
    assert "tenfold" in loaded
    assert [m for m in loaded if any(m == f or m.startswith(f + ".") for f in FORBIDDEN)] == []


def test_data_and_training_do_not_draw_or_parse_arguments():
    loaded = run("import sys; from tenfold import data, models, nn, optim, plot, train; print(*sys.modules)")
    assert [m for m in loaded.split() if m.split(".")[0] in ("matplotlib", "PIL", "tqdm", "argparse")] == []


@pytest.mark.parametrize("name", ["Function", "grad", "profile", "summary", "value_and_grad", "vjp"])
def test_every_function_is_found_as_an_attribute_and_by_from(name):
    run(f"import tenfold; assert callable(tenfold.{name}); from tenfold import {name}; assert {name}")


@pytest.mark.parametrize(
    "name", ["data", "functional", "graph", "io", "models", "nn", "optim", "plot", "train"]
)
def test_every_submodule_is_found_as_an_attribute(name):
    assert run(f"import tenfold; print(tenfold.{name}.__name__)").strip() == f"tenfold.{name}"


def test_every_public_name_exists():
    import tenfold

    for name in tenfold.__all__:
        assert getattr(tenfold, name) is not None
    assert set(tenfold.__all__) <= set(dir(tenfold))
    with pytest.raises(AttributeError, match="'tenfold' has no attribute 'tensor'"):
        tenfold.tensor  # noqa: B018


def test_the_version_is_the_distributions():
    from pathlib import Path

    import tenfold

    root = Path(__file__).parent.parent
    for file, form in (("pyproject.toml", 'version = "{}"'), ("CMakeLists.txt", "VERSION {} ")):
        assert form.format(tenfold.__version__) in (root / file).read_text()


def test_show_config(capsys):
    import tenfold

    tenfold.show_config()
    shown = capsys.readouterr().out
    for word in (tenfold.__version__, "processor", "instruction set", "threads", "compiler", "NumPy"):
        assert word in shown

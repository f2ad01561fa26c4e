"""What the README shows works as it is written there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tenfold
from tenfold.cli._main import parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def execute(code, folder):
    # PYTHONPATH may be relative, and the code runs elsewhere.
    env = {**os.environ, "PYTHONPATH": str(Path(tenfold.__file__).parent.parent)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_on_mnist(tmp_path, mnist_directory):
    code = PYTHON[0]
    call = 'data.mnist("../shared/data/mnist")'
    assert call in code
    # The same lines on a part of the images.
    code = code.replace(call, f"(d[:2560] for d in data.mnist({str(mnist_directory)!r}))")
    code += "\nassert len(history) == 2 and history['validation_accuracy'][-1] > 0.7, history.epochs\n"
    code += "assert probabilities.shape == (8, 10) and np.allclose(probabilities.sum(-1), 1, atol=1e-6)\n"
    code += "assert model.state_dict()['0.weight'].shape == (6, 1, 5, 5)\n"
    assert "61,706" in execute(code, tmp_path)
    assert (tmp_path / "lenet5.safetensors").exists()


def test_modules_functions_and_gradients(tmp_path):
    code = PYTHON[1]
    code += (
        "\nassert y.shape == dx.shape[:2] + (11, 11) and dw.shape == w.shape and grads.shape == w2.shape\n"
    )
    code += "assert Residual(3)(np.ones((2, 3, 5, 7), np.float32)).shape == (2, 3, 5, 7)\n"
    execute(code, tmp_path)


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("tenfold ")])
def test_the_commands_exist(line):
    parser().parse_args(shlex.split(line.split("#")[0])[1:])


def test_the_two_commands_install_extras_that_exist():
    extras = re.findall(r'pip install "\.\[(\w+)\]"', README)
    assert extras == ["cli", "test"]
    project = (ROOT / "pyproject.toml").read_text()
    for extra in extras:
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)


def test_continuous_integration_runs_the_readmes_test_command():
    assert sum("venv .venv-test &&" in line for line in SHELL) == 1
    script = ROOT / ".ci" / "run"
    if not script.exists():
        pytest.skip("an sdist has no .ci")
    assert "grep -m1 'venv .venv-test &&' README.md" in script.read_text()


def test_every_file_that_is_linked_exists():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target

"""The command as a user calls it, on small runs."""

import gzip
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import tenfold as package
from tenfold import data
from tenfold.cli import main
from tenfold.data import _sources
from tenfold.io import load_safetensors, save_safetensors


class Done(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def tenfold(*arguments, cwd, code=0):
    """Run the command in a folder, in this process; no test may see the user's data, or the network."""
    out, err, threads = io.StringIO(), io.StringIO(), package.num_threads()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.delenv("TENFOLD_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(Path(cwd) / "cache"))
        patch.setenv("HOME", str(Path(cwd) / "home"))
        patch.setattr(_sources, "_MNIST_MIRRORS", ("http://127.0.0.1:9/",))
        try:
            got = main([str(a) for a in arguments])
        except SystemExit as end:
            got = int(end.code or 0)
        finally:
            package.set_num_threads(threads)
    done = Done(got, out.getvalue(), err.getvalue())
    assert done.code == code, done
    return done


def process(*arguments, cwd, **environment):
    """Start the command in a process of its own; PYTHONPATH may be relative, and the command runs elsewhere."""
    path = str(Path(package.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-m", "tenfold", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(*arguments, cwd, code=1):
    """Run a command that must fail; return its one line."""
    done = tenfold(*arguments, cwd=cwd, code=code)
    lines = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr
    if code == 1:
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("tenfold: ")
    return lines[-1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run that `tenfold train` makes with its defaults: (folder in which it was started, output)."""
    folder = tmp_path_factory.mktemp("default")
    done = tenfold("train", cwd=folder)
    return folder, done.stdout, done.stderr


RUN = "runs/lenet5-digits"
EPOCHS = 20


def rows(folder):
    return json.loads((folder / "history.json").read_text())["epochs"]


def test_the_defaults_reach_97_percent(run):
    folder, out, _ = run
    accuracy = float(re.search(r"test accuracy ([\d.]+) % \(\d+ of 355\)", out)[1])
    assert accuracy >= 97
    assert abs(rows(folder / RUN)[-1]["validation_accuracy"] * 100 - accuracy) < 0.01


def test_training_leaves_its_files_and_says_where(run):
    folder, out, _ = run
    for name in (
        "checkpoint.safetensors",
        "history.csv",
        "history.json",
        "learning_curve.png",
        "confusion.png",
    ):
        assert (folder / RUN / name).stat().st_size > 0
        assert name in out
    assert RUN in out
    assert (folder / RUN / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    epochs = rows(folder / RUN)
    table = (folder / RUN / "history.csv").read_text().splitlines()
    assert len(table) == len(epochs) + 1 == EPOCHS + 1
    assert {"loss", "accuracy", "validation_loss", "validation_accuracy"} <= set(epochs[0])


def test_progress_is_shown_line_by_line_where_no_terminal_is(run):
    _, _, err = run
    lines = [line for line in err.splitlines() if line.startswith("epoch")]
    assert len(lines) == EPOCHS
    assert "loss" in lines[0]
    assert "accuracy" in lines[0]
    assert "images/s" in lines[0]


def test_confusions_are_readable(run):
    _, out, _ = run
    table = [line for line in out.splitlines() if re.match(r"[0-9] +\d+ +[\d.]+ %", line)]
    assert len(table) == 10
    assert "most frequent confusions:" in out or all("100.00 %" in line for line in table)


def test_evaluate_finds_the_latest_run_and_agrees(run, tmp_path):
    folder, out, _ = run
    accuracy = re.search(r"test accuracy [\d.]+ % \(\d+ of 355\)", out)[0]
    done = tenfold("evaluate", "--picture", tmp_path / "c.png", cwd=folder)
    assert accuracy in done.stdout
    assert (tmp_path / "c.png").exists()


def test_evaluate_refuses_data_of_another_shape(run):
    folder, _, _ = run
    fake_mnist(folder / "fake")
    line = refused("evaluate", "--data", "mnist", "--data-dir", "fake", cwd=folder)
    assert "takes images of (1, 8, 8) in 10 classes; mnist has (1, 28, 28)" in line


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Ten test digits as files: grey, dark on bright and four times as large, one per class."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path_factory.mktemp("pictures")
    _, test = data.digits(standardize=False)
    for label in range(10):
        pixels = test.x[np.flatnonzero(test.y == label)[3], 0]
        image.fromarray(np.uint8(np.round(255 * pixels))).save(folder / f"same{label}.png")
        large = np.pad(np.kron(1 - pixels, np.ones((20, 20))), 30, constant_values=1)
        image.fromarray(np.uint8(np.round(255 * large))).convert("RGB").save(
            folder / f"large{label}.jpg", quality=95
        )
    return folder


@pytest.mark.parametrize(
    ("pattern", "least"), [("same{}.png", 10), ("large{}.jpg", 8)], ids=["as it is", "scanned"]
)
def test_predict_reads_digits(run, pictures, pattern, least):
    folder, _, _ = run
    files = [pictures / pattern.format(i) for i in range(10)]
    lines = tenfold("predict", *files, cwd=folder).stdout.splitlines()
    assert len(lines) == 10
    guesses = [re.match(r"\S+ +(\d) \(([\d.]+) %\)   else", line) for line in lines]
    assert sum(int(guess[1]) == i for i, guess in enumerate(guesses)) >= least


def test_predict_with_a_checkpoint_named(run, pictures, tmp_path):
    folder, _, _ = run
    checkpoint = folder / RUN / "checkpoint.safetensors"
    out = tenfold("predict", checkpoint, pictures / "same3.png", "--top", 1, cwd=tmp_path).stdout
    assert re.fullmatch(r"\S+same3\.png  3 \([\d.]+ %\)\n", out)


def test_predict_refuses(run, tmp_path):
    folder, _, _ = run
    (tmp_path / "a.png").write_bytes(b"no image")
    assert "a.png is not an image" in refused("predict", tmp_path / "a.png", cwd=folder)
    assert "no file" in refused("predict", "absent.png", cwd=folder)
    assert "name the file, or run `tenfold train` first" in refused("predict", "a.png", cwd=tmp_path)


def test_summary_of_a_name_and_of_a_checkpoint(run):
    folder, _, _ = run
    assert "61,706" in tenfold("summary", "lenet5", cwd=folder).stdout
    assert "771" in tenfold("summary", "linear", "--input", "1,16,16", "--classes", 3, cwd=folder).stdout
    assert "6 x 8 x 8" in tenfold("summary", f"{RUN}/checkpoint.safetensors", cwd=folder).stdout
    assert "must be one of lenet5" in refused("summary", "vgg", cwd=folder)


def test_profile_of_a_name_and_of_a_checkpoint(run, tmp_path):
    folder, _, _ = run
    quick = ("--seconds", 0.001, "--batch-size", 8)
    shown = tenfold("profile", "lenet5", *quick, "--no-fuse", cwd=folder).stdout
    assert re.search(r"^3 +conv +8 x 16 x 10 x 10 +[\d.,]+ +[\d.]+ +[\d.]+ % +[\d.,]+", shown, re.MULTILINE)
    assert "backward" in shown
    assert "cross_entropy" in shown
    checkpoint = f"{RUN}/checkpoint.safetensors"
    picture = tmp_path / "profile.png"
    arguments = (checkpoint, *quick, "--inference", "--threads", 1, "--picture", picture)
    shown = tenfold("profile", *arguments, cwd=folder).stdout
    assert "input 8 x 1 x 8 x 8" in shown
    assert "1 thread," in shown
    assert "backward" not in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "must be one of lenet5" in refused("profile", "vgg", cwd=folder)


def test_plot(run, tmp_path):
    folder, _, _ = run
    for history in ([], [f"{RUN}/history.csv"]):
        out = tenfold("plot", *history, "-o", tmp_path / "a.svg", "--title", "t", cwd=folder).stdout
        assert "a.svg" in out
    assert "a.csv" in refused("plot", "a.csv", cwd=folder)


def test_a_run_that_failed_early_is_not_the_latest(run):
    folder, _, _ = run
    assert "nan" in refused("train", "--lr", "1e6", "--epochs", 2, cwd=folder)
    assert (folder / f"{RUN}-2").is_dir()
    assert f"{RUN}/learning_curve.png" in tenfold("plot", cwd=folder).stdout


def test_what_does_not_fit_into_memory_is_one_line(tmp_path):
    line = refused("summary", "linear", "--input", "1,999999,9999999", cwd=tmp_path)
    assert "llocate" in line


def test_info_in_a_process_of_its_own(tmp_path):
    with process("info", cwd=tmp_path, TENFOLD_NUM_THREADS="1") as started:
        out, err = started.communicate(timeout=60)
    assert started.returncode == 0, err
    assert re.search(r"^threads +1$", out, re.MULTILINE)
    assert "instruction set" in out
    assert tenfold("--version", cwd=tmp_path).stdout.startswith("tenfold 0.")


def weights(path):
    return {name: array for name, array in load_safetensors(path)[0].items() if name.startswith("model.")}


def test_the_same_seed_gives_the_same_weights_at_every_number_of_threads(tmp_path):
    for threads in (1, 3):
        tenfold(
            "train", "--epochs", 1, "--threads", threads, "--seed", 5, "--out", f"t{threads}", cwd=tmp_path
        )
    tenfold("train", "--epochs", 1, "--seed", 6, "--out", "other", cwd=tmp_path)
    one, three, other = (weights(tmp_path / d / "checkpoint.safetensors") for d in ("t1", "t3", "other"))
    assert all(np.array_equal(one[name], three[name]) for name in one)
    assert not all(np.array_equal(one[name], other[name]) for name in one)


def test_resume_goes_on_as_if_never_interrupted(tmp_path):
    options = ("train", "mlp", "--schedule", "constant", "--lr", 0.01)
    tenfold(*options, "--epochs", 3, "--out", "whole", cwd=tmp_path)
    tenfold(*options, "--epochs", 1, "--out", "part", cwd=tmp_path)
    tenfold("train", "--resume", "part/checkpoint.safetensors", "--epochs", 3, cwd=tmp_path)
    whole, part = (weights(tmp_path / d / "checkpoint.safetensors") for d in ("whole", "part"))
    assert all(np.array_equal(whole[name], part[name]) for name in whole)
    assert [r["epoch"] for r in rows(tmp_path / "part")] == [1, 2, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a process alone")
def test_ctrl_c_keeps_what_was_learnt(tmp_path):
    with process("train", "mlp", "--epochs", 100000, "--out", "run", "--threads", 1, cwd=tmp_path) as started:
        for line in started.stderr:
            if line.startswith("epoch"):
                break
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=60)
    assert started.returncode == 130, err
    assert "tenfold train --resume run/checkpoint.safetensors" in out
    assert "test accuracy" in out
    assert weights(tmp_path / "run" / "checkpoint.safetensors")


@pytest.mark.parametrize(
    ("optimizer", "schedule"), [("adam", "step"), ("adamw", "onecycle"), ("rmsprop", "constant")]
)
def test_every_optimizer_and_schedule(tmp_path, optimizer, schedule):
    options = ("--optimizer", optimizer, "--schedule", schedule, "--epochs", 2, "--out", "r")
    tenfold("train", "linear", *options, cwd=tmp_path)
    assert rows(tmp_path / "r")[-1]["validation_accuracy"] > 0.6


def fake_mnist(folder):
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    for part, count in (("train", 70), ("t10k", 30)):
        y = np.arange(count, dtype=np.uint8) % 10
        x = generator.integers(0, 60, (count, 28, 28)).astype(np.uint8)
        x[np.arange(count), 4 + 2 * y] = 255
        for kind, array in (("images-idx3", x), ("labels-idx1", y)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    return folder


def test_a_folder_with_mnist(tmp_path):
    fake_mnist(tmp_path / "here")
    out = tenfold("train", "--data", "mnist", "--data-dir", "here", "--epochs", 1, cwd=tmp_path).stdout
    assert "61,706 parameters" in out
    assert "in runs/lenet5-mnist" in out
    tenfold("evaluate", cwd=tmp_path)  # remembers where the data lie
    tenfold("train", "--data", "mnist", "--data-dir", "here", "--epochs", 1, cwd=tmp_path)
    assert (tmp_path / "runs" / "lenet5-mnist-2" / "history.csv").exists()


def test_missing_data_say_what_to_do(tmp_path):
    (tmp_path / "empty").mkdir()
    line = refused("train", "--data", "mnist", "--data-dir", "empty", cwd=tmp_path)
    for part in ("mnist: not found in empty", "train-images-idx3-ubyte.gz", "--data-dir", "TENFOLD_DATA"):
        assert part in line
    assert not (tmp_path / "runs").exists()


def test_damaged_data_are_named(tmp_path):
    path = fake_mnist(tmp_path / "here") / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    line = refused("train", "--data", "mnist", "--data-dir", "here", cwd=tmp_path)
    assert "train-images-idx3-ubyte.gz is a damaged gzip file" in line


def test_checkpoints_that_are_none(run, tmp_path):
    folder, _, _ = run
    content = (folder / RUN / "checkpoint.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:-7])
    assert "cut.safetensors" in refused("evaluate", "cut.safetensors", cwd=tmp_path)
    save_safetensors(tmp_path / "other.safetensors", {"w": np.zeros(3)})
    assert "must be a checkpoint that `tenfold train` wrote" in refused(
        "evaluate", "other.safetensors", cwd=tmp_path
    )
    assert "absent.safetensors" in refused("evaluate", "absent.safetensors", cwd=tmp_path)
    assert "absent.safetensors" in refused("train", "--resume", "absent.safetensors", cwd=tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refused("train", "--out", "file/run", cwd=tmp_path)


def test_a_loss_that_is_not_finite_ends_with_one_line(tmp_path):
    done = tenfold("train", "mlp", "--lr", 1e30, "--epochs", 3, "--out", "r", cwd=tmp_path, code=1)
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("tenfold: ")
    assert "step" in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train", "vgg"],
        ["train", "--epochs", "0"],
        ["train", "--epochs", "many"],
        ["train", "--lr", "nan"],
        ["train", "--momentum", "1"],
        ["train", "--data", "emnist"],
        ["train", "--seed", "-1"],
        ["predict"],
        ["summary", "lenet5", "--input", "28,28"],
    ],
    ids=lambda a: " ".join(a) or "nothing",
)
def test_wrong_usage_is_exit_code_2(arguments, tmp_path):
    assert "error: " in refused(*arguments, cwd=tmp_path, code=2)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["predict", "-h"]], ids=" ".join)
def test_help(arguments, tmp_path):
    out = tenfold(*arguments, cwd=tmp_path).stdout
    assert "usage: tenfold" in out

"""The arguments of the command, and its exit codes."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..data._sources import SOURCES
from ..models import MODELS

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
SCHEDULES = ("constant", "step", "cosine", "onecycle")

_EXIT = """\
exit codes: 0 done, 1 something is wrong with the data or a file (one line says what), 2 wrong usage

environment: TENFOLD_DATA (folder with data sets), TENFOLD_NUM_THREADS, TENFOLD_ISA
"""


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; received {value}")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"must be from 0 to 2**63 - 1; received {value}")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be a positive number; received {text}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1; received {text}")
    return value


def _decay(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0; received {text}")
    return value


def _shape(text: str) -> tuple[int, ...]:
    shape = tuple(_positive(part) for part in text.replace("x", ",").split(","))
    if len(shape) != 3:
        raise argparse.ArgumentTypeError(f"must be C,H,W such as 1,28,28; received {text}")
    return shape


# argparse names these functions in its messages.
for _function, _name in (
    (_positive, "whole number"),
    (_natural, "whole number"),
    (_rate, "number"),
    (_share, "number"),
    (_decay, "number"),
    (_shape, "shape"),
):
    _function.__name__ = _name


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    top = argparse.ArgumentParser(
        prog="tenfold",
        description="Train and run convolutional neural networks on a CPU.",
        epilog=_EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"tenfold {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")

    def add_data(command: argparse.ArgumentParser, text: str) -> None:
        command.add_argument("--data", choices=SOURCES, help=text)
        command.add_argument(
            "--data-dir", metavar="DIR", help="folder with its files (default: $TENFOLD_DATA, cache)"
        )

    def add_threads(command: argparse.ArgumentParser) -> None:
        command.add_argument("--threads", type=_positive, metavar="N", help="default: all that we may use")

    train = add("train", "train a model; LeNet-5 on the embedded digits by default")
    train.add_argument("model", nargs="?", choices=MODELS, help="default: lenet5")
    add_data(train, "default: digits, which are embedded")
    train.add_argument("--epochs", type=_positive, metavar="N", help="default: 20 for digits, else 10")
    train.add_argument("--batch-size", type=_positive, metavar="N", help="default: 32 for digits, else 64")
    train.add_argument("--optimizer", choices=OPTIMIZERS, help="default: sgd")
    train.add_argument("--lr", type=_rate, metavar="RATE", help="default: 0.05 for sgd, else 0.002")
    train.add_argument("--momentum", type=_share, metavar="SHARE", help="default: 0.9 for sgd, else 0")
    train.add_argument("--weight-decay", type=_decay, metavar="RATE", help="default: 0.0005")
    train.add_argument(
        "--schedule", choices=SCHEDULES, help="of the rate; default: cosine, after 5 %% warm-up"
    )
    train.add_argument("--seed", type=_natural, metavar="N", help="same seed, same weights; default: 0")
    add_threads(train)
    train.add_argument("--out", metavar="DIR", help="default: a new folder runs/MODEL-DATA")
    train.add_argument("--resume", metavar="FILE", help="go on from this checkpoint as if never interrupted")

    evaluate = add("evaluate", "measure a checkpoint on the test part of its data")
    evaluate.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="default: the latest in runs/")
    add_data(evaluate, "default: what it was trained on")
    evaluate.add_argument("--picture", metavar="FILE", help="draw the confusion matrix")
    add_threads(evaluate)

    predict = add("predict", "tell what is in image files (PNG, JPEG, …)")
    predict.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="default: the latest in runs/")
    predict.add_argument("images", nargs="+", metavar="IMAGE")
    predict.add_argument(
        "--top", type=_positive, default=3, metavar="K", help="guesses per image; default: 3"
    )
    inversion = predict.add_mutually_exclusive_group()
    inversion.add_argument(
        "--invert", action="store_true", default=None, help="invert (default: when the border is bright)"
    )
    inversion.add_argument("--no-invert", action="store_false", dest="invert", help="do not invert")
    add_threads(predict)

    summary = add("summary", "show shapes, parameters and FLOPs of a model or a checkpoint")
    summary.add_argument("model", metavar="MODEL", help=f"one of {', '.join(MODELS)}, or a checkpoint")
    summary.add_argument("--input", type=_shape, metavar="C,H,W", help="default: 1,28,28")
    summary.add_argument("--classes", type=_positive, metavar="N", help="default: 10")

    profile = add("profile", "show time, GFLOP/s and share of the peak of every operation of a training step")
    profile.add_argument("model", metavar="MODEL", help=f"one of {', '.join(MODELS)}, or a checkpoint")
    profile.add_argument("--input", type=_shape, metavar="C,H,W", help="default: 1,28,28")
    profile.add_argument("--classes", type=_positive, metavar="N", help="default: 10")
    profile.add_argument("--batch-size", type=_positive, default=64, metavar="N", help="default: 64")
    profile.add_argument("--inference", action="store_true", help="forward only, without loss and gradients")
    profile.add_argument("--no-fuse", action="store_true", help="layer by layer, nothing fused")
    profile.add_argument("--seconds", type=_rate, default=2.0, metavar="S", help="to measure; default: 2")
    profile.add_argument("--picture", metavar="FILE", help="draw it")
    add_threads(profile)

    plot = add("plot", "draw the learning curve of a history")
    plot.add_argument("history", nargs="?", metavar="HISTORY", help="CSV or JSON; default: latest in runs/")
    plot.add_argument("-o", "--out", metavar="FILE", help="default: learning_curve.png beside the history")
    plot.add_argument("--title")

    add("info", "show version, processor, instruction set, threads and compiler")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        ``sys.argv[1:]`` by default.
    """
    options = parser().parse_args(arguments)
    try:
        from . import _commands

        code = int(getattr(_commands, options.command)(options) or 0)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough: `tenfold info | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("tenfold: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"tenfold: {_one_line(error)}", file=sys.stderr)
        return 1


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror + (f": {os.fspath(error.filename)}" if error.filename is not None else "")
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())

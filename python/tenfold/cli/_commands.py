"""The commands, one function each."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tenfold

from .. import data, models, nn, optim
from .. import functional as F
from ..data._image import FRAMING
from ..train import Checkpoint, CSVLogger, JSONLogger, Trainer
from ._report import confusion, describe, logits
from ._runs import CHECKPOINT, HISTORY, RunSettings, latest, load_model, new_folder, read_settings

_SETTINGS = (
    "model",
    "data",
    "epochs",
    "batch_size",
    "optimizer",
    "lr",
    "momentum",
    "weight_decay",
    "schedule",
    "seed",
)


def _defaults(given: dict[str, Any]) -> dict[str, Any]:
    """Return a whole set of settings from those that were given."""
    small = given.get("data", "digits") == "digits"
    sgd = given.get("optimizer", "sgd") == "sgd"
    return {
        "model": "lenet5",
        "data": "digits",
        "epochs": 20 if small else 10,
        "batch_size": 32 if small else 64,
        "optimizer": "sgd",
        "lr": 0.05 if sgd else 0.002,
        "momentum": 0.9 if sgd else 0.0,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "seed": 0,
        **given,
    }


def _optimizer(settings: dict[str, Any]) -> Any:
    lr = settings["lr"]
    schedule: Any = {
        "constant": lr,
        "step": optim.Step(lr, gamma=0.1, drops=2),
        "cosine": optim.Cosine(lr, warmup=0.05),
        "onecycle": optim.OneCycle(lr),
    }[settings["schedule"]]
    decay = settings["weight_decay"]
    if settings["optimizer"] == "sgd":
        return optim.SGD(schedule, momentum=settings["momentum"], weight_decay=decay)
    if settings["optimizer"] == "rmsprop":
        return optim.RMSprop(schedule, momentum=settings["momentum"], weight_decay=decay)
    return {"adam": optim.Adam, "adamw": optim.AdamW}[settings["optimizer"]](schedule, weight_decay=decay)


def train(options: argparse.Namespace) -> int:
    """Train a model; leave a checkpoint, the history and its picture."""
    began = time.perf_counter()
    if options.threads:
        tenfold.set_num_threads(options.threads)
    given = {name: getattr(options, name) for name in _SETTINGS if getattr(options, name) is not None}
    before = read_settings(options.resume) if options.resume else {}
    settings = _defaults({**{name: before[name] for name in _SETTINGS if name in before}, **given})
    directory = options.data_dir or before.get("data_dir")
    training, test = data.load(settings["data"], directory)
    settings.update(
        data_dir=os.path.abspath(directory) if directory else None,
        input_shape=list(training.shape),
        classes=training.classes,
        mean=training.mean,
        std=training.std,
        version=tenfold.__version__,
    )
    tenfold.manual_seed(settings["seed"])
    model = models.create(settings["model"], len(training.classes), training.shape)
    if options.out:
        folder = Path(options.out)
        folder.mkdir(parents=True, exist_ok=True)
    elif options.resume:
        folder = Path(options.resume).parent
    else:
        folder = new_folder(f"{settings['model']}-{settings['data']}")
    print(
        f"{settings['model']} ({model.num_parameters():,} parameters) on {settings['data']}: "
        f"{len(training):,} images to learn from, {len(test):,} to test, {settings['epochs']} epochs, "
        f"{tenfold.num_threads()} threads",
        flush=True,
    )
    trainer = Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        optimizer=_optimizer(settings),
        metrics=["accuracy"],
        callbacks=[
            RunSettings(settings),
            CSVLogger(folder / "history.csv"),
            JSONLogger(folder / HISTORY),
            Checkpoint(folder / CHECKPOINT),
        ],
        seed=settings["seed"],
    )
    history = trainer.fit(
        training,
        validation=test,
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        progress=True,
        resume=options.resume,
    )
    matrix = confusion(logits(model, test.x).argmax(1), test.y, len(test.classes))
    correct, total = int(np.trace(matrix)), int(matrix.sum())
    print(f"\ntest accuracy {100 * correct / total:.2f} % ({correct:,} of {total:,})\n")
    print(describe(matrix, test.classes))
    title = f"{settings['model']} on {settings['data']}"
    left = [CHECKPOINT, "history.csv", HISTORY]
    try:
        if len(history):
            tenfold.plot.learning_curve(history, folder / "learning_curve.png", title)
            left.append("learning_curve.png")
        tenfold.plot.confusion_matrix(
            matrix, test.classes, folder / "confusion.png", f"{title}: {correct:,} of {total:,} correct"
        )
        left.append("confusion.png")
    except ImportError as error:
        print(f"no pictures: {error}", file=sys.stderr)
    print(f"\n{time.perf_counter() - began:.1f} s in all; in {folder}: {', '.join(left)}")
    if trainer.interrupted:
        print(f"interrupted; go on with: tenfold train --resume {folder / CHECKPOINT}")
        return 130
    print(f"next: tenfold predict {folder / CHECKPOINT} IMAGE…")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Measure a checkpoint on a test set."""
    if options.threads:
        tenfold.set_num_threads(options.threads)
    path = options.checkpoint or latest()
    model, settings = load_model(path)
    name = options.data or settings["data"]
    directory = options.data_dir or (settings["data_dir"] if name == settings["data"] else None)
    _, test = data.load(name, directory, standardize=False)
    if list(test.shape) != settings["input_shape"] or len(test.classes) != len(settings["classes"]):
        raise ValueError(
            f"evaluate: {path} takes images of {tuple(settings['input_shape'])} in "
            f"{len(settings['classes'])} classes; {name} has {test.shape} in {len(test.classes)}"
        )
    outputs = logits(model, data.standardized(test.x, settings["mean"], settings["std"]))
    matrix = confusion(outputs.argmax(1), test.y, len(test.classes))
    loss = float(np.asarray(F.cross_entropy(outputs, test.y)))
    correct, total = int(np.trace(matrix)), int(matrix.sum())
    print(f"{path}: {settings['model']} trained on {settings['data']}")
    print(f"{name} test accuracy {100 * correct / total:.2f} % ({correct:,} of {total:,}), loss {loss:.4f}\n")
    print(describe(matrix, test.classes))
    if options.picture:
        tenfold.plot.confusion_matrix(matrix, test.classes, options.picture)
        print(f"\nwritten: {options.picture}")
    return 0


def predict(options: argparse.Namespace) -> int:
    """Tell what is in image files."""
    if options.threads:
        tenfold.set_num_threads(options.threads)
    files, path = list(options.images), options.checkpoint
    if path is not None and not path.endswith(".safetensors"):  # the first of several images
        files.insert(0, path)
        path = None
    model, settings = load_model(path or latest())
    fill, center = FRAMING.get(settings["data"], (1.0, "box"))
    x = data.load_images(
        files,
        settings["input_shape"],
        mean=settings["mean"],
        std=settings["std"],
        invert=options.invert,
        fill=fill,
        center=center,
    )
    shares = np.asarray(F.softmax(logits(model, x), axis=-1))
    width = max(map(len, files))
    for file, share in zip(files, shares):
        best = np.argsort(-share, kind="stable")[: options.top]
        first, *others = [f"{settings['classes'][i]} ({100 * share[i]:.1f} %)" for i in best]
        print(f"{file:<{width}}  {first}" + (f"   else {', '.join(others)}" if others else ""))
    return 0


def _model(command: str, options: argparse.Namespace) -> tuple[Any, tuple[int, ...], int]:
    """Return a model by name or checkpoint, the shape of its images, and how many classes it tells apart."""
    if options.model in models.MODELS:
        shape, classes = options.input or (1, 28, 28), options.classes or 10
        return models.create(options.model, classes, shape), shape, classes
    if options.model.endswith(".safetensors") or os.path.exists(options.model):
        model, settings = load_model(options.model)
        return model, options.input or tuple(settings["input_shape"]), len(settings["classes"])
    raise ValueError(
        f"{command}: MODEL must be one of {', '.join(models.MODELS)}, or a checkpoint; "
        f"received {options.model!r}"
    )


def summary(options: argparse.Namespace) -> int:
    """Show the layers of a model."""
    model, shape, _ = _model("summary", options)
    print(tenfold.summary(model, shape))
    return 0


def profile(options: argparse.Namespace) -> int:
    """Show where the time of a training step goes."""
    if options.threads:
        tenfold.set_num_threads(options.threads)
    model, shape, classes = _model("profile", options)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(options.batch_size, *shape)).astype(np.float32)
    arguments: dict[str, Any] = {"backward": False}
    if not options.inference:
        arguments = {"target": rng.integers(0, classes, len(x)), "loss": nn.CrossEntropyLoss()}
    result = tenfold.profile(
        model.train(not options.inference), x, fuse=not options.no_fuse, seconds=options.seconds, **arguments
    )
    print(result)
    if options.picture:
        tenfold.plot.profile(result, options.picture, title=options.model)
        print(f"\nwritten: {options.picture}")
    return 0


def plot(options: argparse.Namespace) -> int:
    """Draw the learning curve of a history."""
    history = Path(options.history) if options.history else latest().with_name(HISTORY)
    out = Path(options.out) if options.out else history.with_name("learning_curve.png")
    tenfold.plot.learning_curve(history, out, options.title)
    print(f"written: {out}")
    return 0


def info(options: argparse.Namespace) -> int:
    """Show what this installation is and runs on."""
    del options
    tenfold.show_config()
    return 0

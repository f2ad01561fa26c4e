"""Checkpoints: exact resume, damage, other runs, full disks."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading

import numpy as np
import pytest
from tests.train.helpers import StopAt, X, Y, model, rows, same, trainer, weights

from tenfold import functional as F
from tenfold import io, nn, optim
from tenfold.train import (
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    JSONLogger,
    NonFiniteLossError,
    Trainer,
)

STEPS = 11  # per epoch, the last with 3 samples
FIT = {"train": (X, Y), "validation": (X[:40], Y[:40]), "epochs": 4, "batch_size": 10}

OPTIMIZERS = {
    "sgd": lambda: optim.SGD(lr=0.1),
    "nesterov": lambda: optim.SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda: optim.Adam(lr=0.01),
    "adamw-one-cycle": lambda: optim.AdamW(lr=optim.OneCycle(0.02)),
}


def states(t):
    return [state.copy() for state in t.optimizer.state]


def all_equal(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


class TestExactResume:
    @pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
    @pytest.mark.parametrize(
        "step",
        [
            pytest.param(1, id="first-step"),
            pytest.param(7, id="within-an-epoch"),
            pytest.param(10, id="before-the-partial-batch"),
            pytest.param(11, id="end-of-an-epoch"),
            pytest.param(25, id="within-the-third"),
            pytest.param(43, id="one-before-the-end"),
        ],
    )
    def test_is_bit_identical(self, path, make, step):
        whole = trainer(make(), seed=4)
        whole_history = whole.fit(**FIT)

        first = trainer(make(), seed=4)
        first.fit(**FIT, callbacks=[Checkpoint(path, every_steps=1000), StopAt(step)])
        assert first.step == step

        second = trainer(make(), seed=4, net=model(hidden=5))
        for parameter in second.model.parameters():
            parameter.data[...] = 9  # all must come from the file
        history = second.fit(**FIT, resume=path)
        assert same(weights(second), weights(whole))
        assert all_equal(states(second), states(whole))
        assert rows(history) == rows(whole_history)
        assert second.step == whole.step == 4 * STEPS
        assert second.resumed_from == str(path)

    def test_many_times_in_a_row(self, path):
        whole = trainer(optim.Adam(lr=0.01))
        whole_history = whole.fit(**FIT)
        resume = None
        for step in range(3, 4 * STEPS, 7):
            t = trainer(optim.Adam(lr=0.01))
            t.fit(**FIT, callbacks=[Checkpoint(path, every_steps=5), StopAt(step)], resume=resume)
            resume = path
        history = trainer(optim.Adam(lr=0.01)).fit(**FIT, resume=path)
        t = trainer(optim.Adam(lr=0.01))
        assert rows(t.fit(**FIT, resume=path)) == rows(history) == rows(whole_history)
        assert same(weights(t), weights(whole))

    def test_more_epochs_go_on(self, path):
        whole = trainer()
        whole.fit(**FIT)
        short = trainer()
        short.fit(**{**FIT, "epochs": 2}, callbacks=[Checkpoint(path)])
        t = trainer()
        history = t.fit(**FIT, resume=path)
        assert same(weights(t), weights(whole))
        assert history["epoch"] == [1, 2, 3, 4]

    def test_nothing_is_left_to_do(self, path):
        whole = trainer()
        whole.fit(**FIT, callbacks=[Checkpoint(path)])
        t = trainer()
        history = t.fit(**FIT, resume=path)
        assert len(history) == 4
        assert same(weights(t), weights(whole))
        assert not t.model.training

    def test_early_stopping_goes_on(self, path):
        class Worse(Callback):
            def on_epoch_end(self, trainer):
                trainer.history.epochs[-1]["validation_loss"] = float(abs(trainer.epoch - 2))

        def parts():
            return [Worse(), EarlyStopping(patience=3, restore_best=True), Checkpoint(path, every_steps=1)]

        fit = {**FIT, "epochs": 9}
        whole = trainer()
        assert len(whole.fit(**fit, callbacks=parts())) == 5
        best = weights(whole)
        trainer().fit(**fit, callbacks=[*parts(), StopAt(37)])
        t = trainer()
        history = t.fit(**fit, callbacks=parts(), resume=path)
        assert len(history) == 5
        assert same(weights(t), best)
        again = trainer()  # a run that had stopped stays stopped
        assert len(again.fit(**fit, callbacks=parts(), resume=path)) == 5
        assert same(weights(again), best)

    def test_buffers_and_random_layers(self, path):
        if not (hasattr(nn, "BatchNorm1d") and hasattr(nn, "Dropout")):
            pytest.skip("needs batch normalisation and dropout")

        def make():
            net = nn.Sequential(
                nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 2)
            )
            rng = np.random.default_rng(1)
            for parameter in net.parameters():
                parameter.data = rng.uniform(-1, 1, parameter.shape).astype(np.float32)
            return trainer(net=net, seed=8)

        whole = make()
        h = whole.fit(**FIT)
        make().fit(**FIT, callbacks=[Checkpoint(path), StopAt(17)])
        t = make()
        assert rows(t.fit(**FIT, resume=path)) == rows(h)
        assert same(weights(t), weights(whole))
        other = make()
        other.seed = 9
        other.fit(**FIT)
        assert not same(weights(other), weights(whole))

    def test_ctrl_c_writes_a_last_checkpoint(self, path):
        x, y = np.tile(X, (150, 1)), np.tile(Y, 150)
        fit = {"train": (x, y), "epochs": 2, "batch_size": 1}
        whole = trainer()
        whole.fit(**fit)
        t = trainer()
        resume = None
        interrupted = 0
        for run in range(4):
            t = trainer()
            history = t.fit(
                **fit, callbacks=[Checkpoint(path), *([CtrlC()] if run < 3 else [])], resume=resume
            )
            interrupted += history.interrupted
            if history.interrupted:
                assert t.last_checkpoint == str(path)
                resume = path
        assert interrupted
        assert not history.interrupted
        assert same(weights(t), weights(whole))

    def test_interrupted_validation_is_made_up_for(self, path):
        class AtEnd(Callback):
            def on_steps(self, trainer):
                if trainer.step == STEPS:
                    signal.raise_signal(signal.SIGINT)

        whole = trainer()
        wanted = whole.fit(**FIT)
        history = trainer().fit(**FIT, callbacks=[AtEnd(), Checkpoint(path)])
        assert history.interrupted
        assert len(history) == 0
        t = trainer()
        assert rows(t.fit(**FIT, resume=path)) == rows(wanted)
        assert same(weights(t), weights(whole))


class CtrlC(Callback):
    """Another thread sends the signal somewhere within the next steps."""

    def on_train_begin(self, trainer):
        self.timer = threading.Timer(0.003, os.kill, (os.getpid(), signal.SIGINT))
        self.timer.start()

    def on_train_end(self, trainer):
        self.timer.join()  # while the trainer still catches it


class TestWhen:
    def saved(self, folder, checkpoint, **settings):
        t = trainer()
        t.fit(**{**FIT, **settings}, callbacks=[checkpoint])
        return sorted(os.listdir(folder), key=lambda name: (len(name), name))

    def test_epochs(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "e{epoch}", every_epochs=3)
        assert self.saved(tmp_path, checkpoint) == ["e3", "e4"]

    def test_steps(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "s{step}", every_steps=15)
        assert self.saved(tmp_path, checkpoint) == ["s15", "s30", "s44"]

    def test_best_only(self, tmp_path):
        class Values(Callback):
            def on_epoch_end(self, trainer):
                trainer.history.epochs[-1]["validation_loss"] = [3.0, float("nan"), 2.0, 2.5][
                    trainer.epoch - 1
                ]

        t = trainer()
        t.fit(**FIT, callbacks=[Checkpoint(tmp_path / "b{epoch}", best_only=True), Values()])
        assert sorted(os.listdir(tmp_path)) == ["b1", "b3"]
        assert t.last_checkpoint == str(tmp_path / "b3")

    def test_best_accuracy(self, tmp_path):
        class Values(Callback):
            def on_epoch_end(self, trainer):
                trainer.history.epochs[-1]["accuracy"] = [0.3, 0.2, 0.4, 0.4][trainer.epoch - 1]

        trainer().fit(
            **FIT,
            callbacks=[Values(), Checkpoint(tmp_path / "b{epoch}", best_only=True, monitor="accuracy")],
        )
        assert sorted(os.listdir(tmp_path)) == ["b1", "b3"]

    @pytest.mark.parametrize("settings", [{"every_steps": 0}, {"every_epochs": -1}, {"every_steps": 1.5}])
    def test_settings_are_checked(self, path, settings):
        with pytest.raises(ValueError, match=r"Checkpoint: every_.* must be a positive int or None"):
            Checkpoint(path, **settings)
        with pytest.raises(ValueError, match="every_steps must be None with best_only"):
            Checkpoint(path, every_steps=3, best_only=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint after 25 steps, as bytes."""
    path = tmp_path_factory.mktemp("written") / "run.safetensors"
    trainer().fit(**FIT, callbacks=[Checkpoint(path), StopAt(25)])
    return path.read_bytes()


def refused(t, path, text, error=ValueError, **changes):
    """Resuming must fail with the text and change nothing."""
    before = weights(t)
    with pytest.raises(error, match=text):
        t.fit(**{**FIT, **changes}, resume=path)
    assert same(before, weights(t))
    assert t.step == t.epoch == 0
    assert t.history.epochs == []
    assert t.model.training


class TestRefusal:
    def test_truncated_anywhere(self, path, written):
        for n in [*range(0, len(written), max(len(written) // 60, 1)), len(written) - 1]:
            path.write_bytes(written[:n])
            refused(trainer(), path, "is damaged or no safetensors file")

    def test_a_flipped_bit_anywhere(self, path, written):
        for i in np.random.default_rng(0).integers(8, len(written), 80):
            flipped = bytearray(written)
            flipped[i] ^= 1 << (i % 8)
            path.write_bytes(flipped)
            refused(trainer(), path, r"is damaged or no safetensors file|must be a checkpoint of the format")

    @pytest.mark.parametrize(
        ("change", "settings", "text"),
        [
            pytest.param({"net": lambda: model(hidden=6)}, {}, r"has 0.weight float32 \(5, 4\) .*\(6, 4\)",
                         id="shape"),
            pytest.param({"net": lambda: nn.Sequential(nn.Linear(4, 2))}, {}, "has 2.bias, 2.weight unexpected",
                         id="architecture"),
            pytest.param({"net": lambda: model(np.float64)},
                         {"train": (X.astype(float), Y), "validation": (X.astype(float), Y)},
                         "has 0.weight float32 .* instead of float64", id="dtype"),
            pytest.param({}, {"batch_size": 11}, "batch size 10 instead of 11", id="batch-size"),
            pytest.param({}, {"shuffle": False}, "shuffle True instead of False", id="shuffle"),
            pytest.param({}, {"train": (X[:-1], Y[:-1])}, r"data \[\[103, 4\].* instead of \[\[102, 4\]",
                         id="data-size"),
            pytest.param({}, {"train": (X + 1, Y)}, r"data \[\[103, 4\]", id="data"),
            pytest.param({"seed": 1}, {}, "seed 0 instead of 1", id="seed"),
            pytest.param({"metrics": []}, {}, r"metrics \['accuracy'\] instead of \[\]", id="metrics"),
            pytest.param({"optimizer": lambda: optim.Adam(lr=0.1)}, {}, "optimizer class SGD instead of Adam",
                         id="optimizer"),
            pytest.param({"optimizer": lambda: optim.SGD(lr=0.1, momentum=0.8)}, {},
                         r"optimizer momentum 0.9 instead of 0.8", id="momentum"),
            pytest.param({"optimizer": lambda: optim.SGD(lr=0.2, momentum=0.9)}, {},
                         r"optimizer lr 0.1 instead of 0.2", id="lr"),
        ],
    )  # fmt: skip
    def test_another_run(self, path, written, change, settings, text):
        path.write_bytes(written)
        made = {name: value() if callable(value) else value for name, value in change.items()}
        refused(trainer(**made), path, r"resume must be a checkpoint of this very run; .*" + text, **settings)

    def test_a_schedule_that_would_have_been_another(self, path):
        def make():
            return trainer(optim.SGD(lr=optim.Cosine(0.1)))

        make().fit(**FIT, callbacks=[Checkpoint(path), StopAt(25)])
        refused(make(), path, "epochs 4 instead of 5, which this schedule depends on", epochs=5)

    def test_another_loss(self, path, written):
        def same_loss(output, target):
            return F.cross_entropy(output, target)

        path.write_bytes(written)
        t = Trainer(model(), same_loss, optim.SGD(lr=0.1, momentum=0.9), ["accuracy"])
        refused(t, path, "loss CrossEntropyLoss.* instead of .*same_loss")

    def test_class_weights_belong_to_the_loss(self, path):
        def make(weight):
            loss = nn.CrossEntropyLoss(weight=np.array(weight, np.float32))
            return Trainer(model(), loss, optim.SGD(lr=0.1), ["accuracy"])

        make([1, 2]).fit(**FIT, callbacks=[Checkpoint(path), StopAt(25)])
        refused(make([1, 3]), path, "loss CrossEntropyLoss.* instead of CrossEntropyLoss")
        assert len(make([1, 2]).fit(**FIT, resume=path)) == 4

    def test_functions_are_known_by_their_names(self, path):
        def make():
            return trainer(optim.SGD(lr=optim.LinearWarmup(lambda step, steps: 0.1, 5)))

        make().fit(**FIT, callbacks=[Checkpoint(path), StopAt(25)])
        assert len(make().fit(**FIT, resume=path)) == 4  # another lambda, at another address

    def test_a_model_file_is_no_checkpoint(self, path):
        model().save(path)
        refused(trainer(), path, r"must be a checkpoint of the format 'checkpoint 1'; .* 'model 1'")

    def test_a_foreign_file_is_no_checkpoint(self, path):
        import safetensors.numpy

        safetensors.numpy.save_file({"a": X}, path)
        refused(trainer(), path, "must be a checkpoint of the format .* is another safetensors file")

    def test_state_that_does_not_parse(self, path, written):
        path.write_bytes(written)
        tensors, metadata = io.load_safetensors(path)
        state = json.loads(metadata["tenfold.state"])
        for broken in (
            "[",
            "[]",
            "{}",
            json.dumps({**state, "progress": {}}),
            json.dumps({**state, "run": 3}),
        ):
            io.save_safetensors(path, tensors, {**metadata, "tenfold.state": broken})
            refused(trainer(), path, "Trainer.fit: resume")

    def test_no_file(self, path):
        refused(trainer(), path, "run.safetensors", error=FileNotFoundError)

    def test_the_model_can_be_loaded_from_a_checkpoint(self, path, written):
        path.write_bytes(written)
        t, net = trainer(), model()
        t.fit(**FIT, callbacks=[StopAt(25)])
        net.load(path)
        assert same(net.state_dict(), weights(t))


class TestFullDisk:
    def test_the_previous_checkpoint_and_the_weights_survive(self, path):
        class Fill(Callback):
            """Lets no file grow beyond 500 bytes after the second epoch."""

            def on_epoch_end(self, trainer):
                if trainer.epoch == 2:
                    self.before = path.read_bytes()
                    self.weights = weights(trainer)
                    self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (500, self.limits[1]))

            def on_train_end(self, trainer):
                resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)
                self.error = trainer.error

        t, fill = trainer(), Fill()
        with pytest.raises(OSError, match=r"the file was not written: .*run\.safetensors"):
            t.fit(**FIT, callbacks=[Checkpoint(path), fill])
        assert isinstance(fill.error, OSError)
        assert path.read_bytes() == fill.before
        assert os.listdir(path.parent) == [path.name]
        assert same(weights(t), fill.weights)
        assert t.last_checkpoint == str(path)
        assert not t.model.training
        assert trainer().fit(**FIT, resume=path)["epoch"] == [1, 2, 3, 4]

    def test_a_folder_that_is_not_there_is_seen_before_training(self, tmp_path):
        for callback in (Checkpoint(tmp_path / "no" / "c"), JSONLogger(tmp_path / "no" / "h.json")):
            t = trainer()
            with pytest.raises(FileNotFoundError, match="folder of the file does not exist"):
                t.fit(**FIT, callbacks=[callback])
            assert t.step == 0

    def test_a_device_that_is_full(self):
        with pytest.raises(OSError, match=r"No space left on device.*/dev/full"):
            trainer().fit(**FIT, callbacks=[Checkpoint("/dev/full")])


def test_a_loss_that_is_not_finite_names_the_last_checkpoint(path):
    x = X.copy()
    x[100] = np.inf
    t = trainer()
    with pytest.raises(
        NonFiniteLossError, match=r"step 11 .* last good checkpoint is .*run.safetensors"
    ) as caught:
        t.fit((x, Y), batch_size=10, shuffle=False, callbacks=[Checkpoint(path, every_steps=4)])
    assert caught.value.checkpoint == str(path)
    before = weights(t)
    net = model()
    net.load(path)
    assert all(np.isfinite(array).all() for array in net.state_dict().values())
    assert not same(before, net.state_dict())  # step 8, not step 10


def test_history_of_a_resumed_run_is_written_whole(path, tmp_path):
    trainer().fit(**FIT, callbacks=[Checkpoint(path), StopAt(25)])
    history = trainer().fit(**FIT, callbacks=[JSONLogger(tmp_path / "h.json")], resume=path)
    assert History.from_json(tmp_path / "h.json").epochs == history.epochs
    assert history["epoch"] == [1, 2, 3, 4]

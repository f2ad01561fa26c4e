"""Trainer: steps, averages, determinism, evaluation, Ctrl-C, bad input."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
from tests.train.helpers import StopAt, X, Y, model, rows, same, trainer, weights

import tenfold
from tenfold import functional as F
from tenfold import nn, optim
from tenfold.train import Callback, History, NonFiniteLossError, Trainer
from tenfold.train._inputs import epoch_order, sorting_order


def by_hand(order, batch, lr, momentum):
    """Train the helpers' net in NumPy (float64) for one epoch; return (weights, loss, accuracy)."""
    w = {name: array.astype(np.float64) for name, array in model().state_dict().items()}
    velocity = {name: np.zeros_like(array) for name, array in w.items()}
    total, right = 0.0, 0
    for start in range(0, len(X), batch):
        chosen = order[start : start + batch]
        a, labels = X[chosen].astype(np.float64), Y[chosen]
        pre = a @ w["0.weight"].T + w["0.bias"]
        h = np.maximum(pre, 0)
        z = h @ w["2.weight"].T + w["2.bias"]
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        total += -np.log(p[np.arange(len(chosen)), labels]).sum()
        right += int((z.argmax(1) == labels).sum())
        p[np.arange(len(chosen)), labels] -= 1
        dz = p / len(chosen)
        dh = (dz @ w["2.weight"]) * (pre >= 0)
        gradients = {"2.weight": dz.T @ h, "2.bias": dz.sum(0), "0.weight": dh.T @ a, "0.bias": dh.sum(0)}
        for name, gradient in gradients.items():
            velocity[name] = momentum * velocity[name] + gradient
            w[name] -= lr * velocity[name]
    return w, total / len(X), right / len(X)


BATCHES = [
    pytest.param(1, id="single-sample"),
    pytest.param(32, id="partial-last"),
    pytest.param(103, id="batch-descent"),
    pytest.param(500, id="larger-than-all"),
]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "in-order"])
def test_an_epoch_is_what_numpy_does_by_hand(batch, shuffle):
    t = trainer(optim.SGD(lr=0.05, momentum=0.9), seed=11)
    history = t.fit((X, Y), batch_size=batch, shuffle=shuffle)
    order = epoch_order(len(X), 11, 0) if shuffle else np.arange(len(X))
    wanted, loss, accuracy = by_hand(order, batch, 0.05, 0.9)
    for name, array in weights(t).items():
        # up to 103 steps in float32 against float64
        np.testing.assert_allclose(array, wanted[name], rtol=0, atol=2e-5)
    row = history.epochs[0]
    assert row["loss"] == pytest.approx(loss, abs=1e-5)
    assert row["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert row["step"] == t.step == -(-len(X) // batch)
    assert row["learning_rate"] == 0.05
    assert row["images_per_second"] == pytest.approx(len(X) / row["seconds"])


def test_float64():
    t = trainer(optim.SGD(lr=0.05, momentum=0.9), net=model(np.float64), seed=2)
    t.fit((X.astype(np.float64), Y), batch_size=10)
    wanted, _, _ = by_hand(epoch_order(len(X), 2, 0), 10, 0.05, 0.9)
    for name, array in weights(t).items():
        np.testing.assert_allclose(array, wanted[name], rtol=0, atol=1e-13)


def test_two_epochs_are_one_over_the_data_twice():
    """Adam's bias correction and dropout's sequence go on where an epoch ends."""
    results = []
    for data, epochs in (((X[:100], Y[:100]), 2), ((np.tile(X[:100], (2, 1)), np.tile(Y[:100], 2)), 1)):
        net = model()
        t = trainer(optim.Adam(lr=0.01), net=nn.Sequential(net, nn.Dropout(0.5)))
        t.fit(data, epochs=epochs, batch_size=20, shuffle=False)
        results.append(weights(t))
    assert same(*results)


class TestOrder:
    def test_is_a_permutation_that_depends_on_seed_and_epoch(self):
        orders = [epoch_order(1000, seed, epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
        for order in orders:
            assert np.array_equal(np.sort(order), np.arange(1000))
        assert len({tuple(order) for order in orders}) == 3
        assert np.array_equal(orders[0], epoch_order(1000, 0, 0))

    @pytest.mark.parametrize("count", [0, 1, 2, 1000, 70_000])
    def test_follows_the_numbers(self, count):
        numbers = np.random.Philox(np.random.SeedSequence([3, 4])).random_raw(count)
        order = epoch_order(count, 3, 4)
        assert order.dtype == np.int64
        assert np.array_equal(order, np.argsort(numbers, kind="stable"))

    def test_is_the_same_with_every_numpy(self):
        assert epoch_order(8, 5, 2).tolist() == [4, 2, 6, 7, 5, 0, 1, 3]

    @pytest.mark.parametrize("bits", [2, 34, 64])
    def test_numbers_that_share_their_upper_half_or_are_equal(self, bits):
        numbers = np.random.Philox(7).random_raw(1000) >> np.uint64(64 - bits) << np.uint64(64 - bits)
        numbers[::7] ^= np.uint64(3)
        assert np.array_equal(sorting_order(numbers), np.argsort(numbers, kind="stable"))


class TestDeterminism:
    def run(self, **settings):
        t = trainer(optim.Adam(lr=0.01), seed=5)
        h = t.fit((X, Y), validation=(X[:50], Y[:50]), epochs=3, batch_size=16, **settings)
        return weights(t), rows(h)

    def test_same_bits_twice_and_at_every_number_of_threads(self):
        before = tenfold.num_threads()
        results = []
        try:
            for threads in (1, 1, 2, 3):
                tenfold.set_num_threads(threads)
                results.append(self.run())
        finally:
            tenfold.set_num_threads(before)
        for w, h in results[1:]:
            assert same(w, results[0][0])
            assert h == results[0][1]

    def test_a_convolutional_net_too(self):
        def run(threads):
            tenfold.set_num_threads(threads)
            rng = np.random.default_rng(6)
            x = rng.standard_normal((45, 1, 9, 8)).astype(np.float32)
            net = nn.Sequential(
                nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(20, 3),
            )  # fmt: skip
            for parameter in net.parameters():
                parameter.data = rng.uniform(-0.4, 0.4, parameter.shape).astype(np.float32)
            t = Trainer(net, nn.CrossEntropyLoss(), optim.AdamW(lr=0.01), metrics=["accuracy"], seed=3)
            h = t.fit((x, np.arange(45) % 3), validation=(x, np.arange(45) % 3), epochs=2, batch_size=16)
            return weights(t), rows(h), t.predict(x)

        before = tenfold.num_threads()
        try:
            results = [run(threads) for threads in (1, 1, 2, 3)]
        finally:
            tenfold.set_num_threads(before)
        for w, h, output in results[1:]:
            assert same(w, results[0][0])
            assert h == results[0][1]
            assert np.array_equal(output, results[0][2])

    def test_callbacks_calls_and_progress_change_nothing(self, capsys):
        class EveryStep(Callback):
            def __init__(self, x=X):
                self.x = x

            def steps_to_next(self, trainer):
                return 1

            def on_steps(self, trainer):
                trainer.model(self.x[:3])

        # a single column of float64 is where a sum by halves would differ from one row by row
        losses = []
        for callbacks in ([], [EveryStep(X.astype(np.float64))]):
            t = trainer(net=model(np.float64), metrics=[])
            losses.append(t.fit((X.astype(np.float64), Y), batch_size=1, callbacks=callbacks)["loss"])
        assert losses[0] == losses[1]
        w, h = self.run()
        for settings in ({"callbacks": [EveryStep()]}, {"progress": True}):
            other_w, other_h = self.run(**settings)
            assert same(w, other_w)
            assert h == other_h

    def test_another_seed_is_another_run(self):
        a, b = trainer(seed=0), trainer(seed=1)
        for t in (a, b):
            t.fit((X, Y), batch_size=16)
        assert not same(weights(a), weights(b))


class TestData:
    def test_layout_byte_order_and_protection_do_not_matter(self):
        frozen, labels = X.copy(), Y.copy()
        frozen.flags.writeable = labels.flags.writeable = False
        forms = [
            (X, Y),
            (frozen, labels),
            (np.asfortranarray(X), np.repeat(Y, 2)[::2]),
            (X.astype(">f4"), Y.astype(">i8")),
            (X, Y.astype(np.uint8)),
        ]
        results = []
        for form in forms:
            t = trainer()
            t.fit(form, batch_size=16)
            results.append(weights(t))
        assert all(same(results[0], w) for w in results[1:])
        assert np.array_equal(frozen, X)

    def test_anything_with_x_and_y(self):
        class Set:
            x, y = X, Y

        a, b = trainer(), trainer()
        a.fit(Set(), batch_size=16)
        b.fit((X, Y), batch_size=16)
        assert same(weights(a), weights(b))

    def test_float_targets(self):
        net = nn.Sequential(nn.Linear(4, 1))
        target = (X @ np.array([[1.0], [-2.0], [0.5], [0.0]])).astype(np.float64)
        t = Trainer(net, nn.MSELoss(), optim.SGD(lr=0.1))
        history = t.fit((X, target), epochs=30, batch_size=16)
        assert history["loss"][-1] < 1e-3 < history["loss"][0]
        np.testing.assert_allclose(net[0].weight.data, [[1, -2, 0.5, 0]], atol=0.05)

    def test_nothing_to_do(self):
        t = trainer()
        before = weights(t)
        assert len(t.fit((X, Y), epochs=0)) == 0
        assert same(before, weights(t))


class TestEvaluation:
    @pytest.mark.parametrize("batch", [1, 7, 103, 256])
    def test_averages_over_all_samples(self, batch):
        t = trainer()
        values = t.evaluate((X, Y), batch_size=batch)
        output = t.model(X)
        assert values["loss"] == pytest.approx(float(F.cross_entropy(output, Y)), abs=1e-6)
        assert values["accuracy"] == pytest.approx(np.mean(output.argmax(1) == Y), abs=1e-6)

    def test_predict_is_the_model(self):
        t = trainer()
        np.testing.assert_allclose(t.predict(X, batch_size=10), t.model(X), rtol=0, atol=1e-6)
        assert np.array_equal(t.predict(X), t.model(X))
        assert t.predict(X[:0]).shape == (0, 2)
        assert t.predict(np.asfortranarray(X)).dtype == np.float32

    def test_is_in_eval_mode_and_fit_in_training_mode(self):
        class Mode(nn.Module):
            def forward(self, x):
                seen.append(self.training)
                return x

        seen = []
        t = trainer(net=nn.Sequential(nn.Linear(4, 2), Mode()))
        t.model.train()
        t.predict(X)
        t.evaluate((X, Y))
        assert t.model.training
        assert t.model[1].training
        assert seen
        assert not any(seen)
        seen.clear()
        t.model.eval()
        t.fit((X, Y))
        assert seen
        assert all(seen)
        assert not t.model.training

    def test_validation_columns(self):
        t = trainer()
        history = t.fit((X, Y), validation=(X[:20], Y[:20]), epochs=2)
        assert history["validation_loss"][-1] == pytest.approx(t.evaluate((X[:20], Y[:20]))["loss"], abs=1e-6)
        assert history.columns() == [
            "epoch", "step", "loss", "accuracy", "validation_loss", "validation_accuracy",
            "learning_rate", "seconds", "images_per_second",
        ]  # fmt: skip

    def test_metric_functions(self):
        def share_right(output, target):
            return F.accuracy(output, target)

        row = trainer(metrics=["accuracy", share_right]).fit((X, Y)).epochs[0]
        assert row["share_right"] == row["accuracy"]

    def test_weights_assigned_by_hand_are_seen(self):
        t = trainer()
        t.fit((X, Y))
        t.model[2].weight.data = np.zeros((2, 5), np.float32)
        t.model[2].bias.data = np.zeros(2, np.float32)
        assert t.evaluate((X, Y))["loss"] == pytest.approx(np.log(2), abs=1e-6)
        assert not t.predict(X).any()


class TestInterrupt:
    def test_ctrl_c_stops_soon_and_keeps_what_was_learnt(self):
        t = trainer()
        before = weights(t)
        x, y = np.tile(X, (2000, 1)), np.tile(Y, 2000)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        began = time.perf_counter()
        history = t.fit((x, y), epochs=1000, batch_size=1)
        assert time.perf_counter() - began < 3
        assert isinstance(history, History)
        assert history.interrupted
        assert t.interrupted
        assert t.step > 100
        assert not same(before, weights(t))
        assert t.evaluate((X, Y))["loss"] > 0
        assert not t.model.training
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_a_second_ctrl_c_does_not_wait(self):
        class Slow(Callback):
            def on_steps(self, trainer):
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
                reached.append(True)

        reached = []
        assert trainer().fit((X, Y), callbacks=[Slow()]).interrupted
        assert not reached

    def test_a_handler_of_the_user_stays(self):
        def own(number, frame):
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, own)
        try:
            timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            x, y = np.tile(X, (2000, 1)), np.tile(Y, 2000)
            t = trainer()
            assert t.fit((x, y), epochs=1000, batch_size=1).interrupted
            assert signal.getsignal(signal.SIGINT) is own
        finally:
            signal.signal(signal.SIGINT, before)
        assert not t.model.training

    def test_works_off_the_main_thread(self):
        result = []
        thread = threading.Thread(target=lambda: result.append(trainer().fit((X, Y))))
        thread.start()
        thread.join(30)
        assert len(result[0]) == 1


class TestNonFiniteLoss:
    def test_names_the_step_and_keeps_the_weights_before_it(self):
        x = X.copy()
        x[40] = np.nan
        t, clean = trainer(), trainer()
        with pytest.raises(NonFiniteLossError) as caught:
            t.fit((x, Y), batch_size=16, shuffle=False, epochs=2)
        error = caught.value
        assert isinstance(error, ValueError)
        for part in (
            "the loss became nan at step 3 (epoch 1, step 3 of 7)",
            "those after step 2",
            "no checkpoint",
        ):
            assert part in str(error)
        assert (error.step, error.epoch, error.checkpoint) == (3, 1, None)
        assert np.isnan(error.loss)
        clean.fit((X, Y), batch_size=16, shuffle=False, callbacks=[StopAt(2)])
        assert same(weights(t), weights(clean))

    def test_weights_that_overflow_in_the_last_step_are_seen(self):
        t = trainer(optim.SGD(lr=3e38))
        with pytest.raises(NonFiniteLossError, match="no longer finite after step 1"):
            t.fit((X * np.float32(1e3), Y), batch_size=103)


BAD_INPUT = {
    "empty": ({"train": (X[:0], Y[:0])}, ValueError, "Trainer.fit: train must not be empty"),
    "lengths": ({"train": (X, Y[:-1])}, ValueError, r"train.x and train.y must have the same .*\(103, 4\)"),
    "label-high": (
        {"train": (X, Y + 1)},
        ValueError,
        r"train.y must hold labels from 0 to 1, .* received 2 at",
    ),
    "label-negative": ({"train": (X, Y - 1)}, ValueError, r"train.y must hold labels from 0 to 1, .*ved -1"),
    "label-floats": (
        {"train": (X, Y * 1.0)},
        (ValueError, TypeError),
        "Trainer.fit: loss must accept.*train.y",
    ),
    "label-bools": ({"train": (X, Y > 0)}, TypeError, "train.y must be integer labels .* dtype bool"),
    "label-text": ({"train": (X, Y.astype(str))}, TypeError, "train.y must be integer labels .* dtype <U"),
    "integer-images": (
        {"train": (Y[:, None], Y)},
        TypeError,
        "train.x must be a float32 or float64 .* int64",
    ),
    "byte-images": ({"train": (X.astype(np.uint8), Y)}, TypeError, "train.x must be .* dtype uint8"),
    "object-images": ({"train": (X.astype(object), Y)}, TypeError, "train.x must be .* dtype object"),
    "other-float": ({"train": (X.astype(np.float64), Y)}, TypeError, "train.x must be float32, as the model"),
    "features": ({"train": (X[:, :3], Y)}, ValueError, r"fit: model must accept train.x, float32 \(32, 3\)"),
    "no-labels": ({"train": X}, TypeError, "train must be a data set with x and y"),
    "validation": (
        {"train": (X, Y), "validation": (X[:0], Y[:0])},
        ValueError,
        "validation must not be empty",
    ),
    "validation-label": (
        {"train": (X, Y), "validation": (X, Y + 7)},
        ValueError,
        "validation.y must hold labels",
    ),
    "batch-zero": (
        {"train": (X, Y), "batch_size": 0},
        ValueError,
        "batch_size must be at least 1; received 0",
    ),
    "batch-float": (
        {"train": (X, Y), "batch_size": 2.0},
        TypeError,
        "batch_size must be an int; received 2.0",
    ),
    "epochs": ({"train": (X, Y), "epochs": -1}, ValueError, "epochs must be at least 0; received -1"),
    "epochs-bool": ({"train": (X, Y), "epochs": True}, TypeError, "epochs must be an int"),
}


@pytest.mark.parametrize(("arguments", "error", "text"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_refused_and_changes_nothing(arguments, error, text):
    t = trainer()
    t.model.eval()
    before = weights(t)
    with pytest.raises(error, match=text):
        t.fit(**arguments)
    assert same(before, weights(t))
    assert not t.model.training
    assert t.history.epochs == []


class TestConstruction:
    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            ({"model": len}, TypeError, "Trainer: model must be a Module"),
            ({"loss": "mse"}, TypeError, "Trainer: loss must be a function"),
            ({"loss": nn.ReLU}, TypeError, "Trainer: loss must be a function or an instance"),
            ({"optimizer": 0.1}, TypeError, "Trainer: optimizer must be one of tenfold.optim"),
            ({"metrics": "accuracy"}, TypeError, "Trainer: metrics must be a list"),
            ({"metrics": ["speed"]}, ValueError, r"Trainer: metrics must be .*'accuracy'; received 'speed'"),
            ({"metrics": ["accuracy", "accuracy"]}, ValueError, "names of their own; received 'accuracy'"),
            ({"seed": -1}, ValueError, "Trainer: seed must be at least 0"),
            ({"seed": 1.5}, TypeError, "Trainer: seed must be an int"),
        ],
    )
    def test_arguments_are_checked(self, change, error, text):
        arguments = {
            "model": model(),
            "loss": nn.CrossEntropyLoss(),
            "optimizer": optim.SGD(lr=0.1),
            **change,
        }
        with pytest.raises(error, match=text):
            Trainer(**arguments)

    def test_a_loss_per_sample_is_refused(self):
        t = Trainer(model(), lambda output, target: output, optim.SGD(lr=0.1))
        with pytest.raises(ValueError, match=r"Trainer.fit: loss must return one number; .* shape \(32, 2\)"):
            t.fit((X, Y))

    def test_a_model_without_parameters_is_refused(self):
        with pytest.raises(ValueError, match="the model must have parameters to train"):
            trainer(net=nn.Sequential(nn.ReLU())).fit((X, Y))


def test_shared_parameters_train_as_one():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.b = nn.Linear(4, 4)
            self.b.weight = self.a.weight
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.b(F.relu(self.a(x))))

    t = trainer(net=Tied())
    before = weights(t)
    t.fit((X, Y), epochs=2)
    assert t.model.a.weight is t.model.b.weight
    assert not np.array_equal(before["a.weight"], t.model.a.weight.data)
    assert np.array_equal(t.predict(X), t.model(X))


class Hinge(tenfold.Function):
    """ReLU written in NumPy; its backward fails when told to."""

    fails_at = None
    calls = 0

    def forward(self, x):
        return np.maximum(x, 0)

    def backward(self, inputs, outputs, d_outputs):
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("as asked")
        return d_outputs[0] * (inputs[0] >= 0)


class HingeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = model()
        self.hinge = Hinge()

    def forward(self, x):
        return self.net[2](self.hinge(self.net[0](x)))


class TestCustomOperations:
    def test_train_like_built_in_ones(self, threads):
        built_in, custom = trainer(optim.Adam(lr=0.02)), trainer(optim.Adam(lr=0.02), net=HingeNet())
        expected = built_in.fit((X, Y), epochs=3, batch_size=10)
        history = custom.fit((X, Y), epochs=3, batch_size=10)
        assert custom.model.hinge.calls == 3 * 11
        np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
        for name, array in weights(built_in).items():
            np.testing.assert_allclose(weights(custom)[f"net.{name}"], array, rtol=1e-4, atol=1e-5)

    def test_an_error_in_one_ends_training_and_keeps_the_weights_before_the_step(self):
        whole, t = trainer(net=HingeNet()), trainer(net=HingeNet())
        whole.fit((X[:40], Y[:40]), batch_size=10, shuffle=False)
        t.model.hinge.fails_at = 5
        with pytest.raises(RuntimeError, match="as asked"):
            t.fit((X[:50], Y[:50]), batch_size=10, shuffle=False)
        assert same(weights(t), weights(whole))

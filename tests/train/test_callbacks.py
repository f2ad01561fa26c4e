"""Callbacks: their order, early stopping, progress, history files."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from tests.train.helpers import StopAt, X, Y, rows, same, trainer, weights

from tenfold.train import Callback, CSVLogger, EarlyStopping, History, JSONLogger, ProgressBar


class Log(Callback):
    def __init__(self, log, name=""):
        self.log, self.name = log, name

    def steps_to_next(self, trainer):
        return 1

    def on_train_begin(self, trainer):
        self.log.append((self.name, "train begin", trainer.epoch, trainer.step))

    def on_epoch_begin(self, trainer):
        self.log.append((self.name, "epoch begin", trainer.epoch, trainer.step))

    def on_steps(self, trainer):
        self.log.append((self.name, "steps", trainer.epoch, trainer.step))

    def on_epoch_end(self, trainer):
        self.log.append((self.name, "epoch end", trainer.epoch, trainer.step))

    def on_train_end(self, trainer):
        self.log.append((self.name, "train end", trainer.epoch, trainer.step))


class TestHooks:
    def test_come_in_order(self):
        log = []
        trainer(callbacks=[Log(log)]).fit((X, Y), epochs=2, batch_size=60)
        assert log == [
            ("", "train begin", 0, 0),
            ("", "epoch begin", 0, 0),
            ("", "steps", 0, 1),
            ("", "steps", 0, 2),
            ("", "epoch end", 1, 2),
            ("", "epoch begin", 1, 2),
            ("", "steps", 1, 3),
            ("", "steps", 1, 4),
            ("", "epoch end", 2, 4),
            ("", "train end", 2, 4),
        ]

    def test_the_last_begins_last_and_ends_first(self):
        log = []
        trainer(callbacks=[Log(log, "a")]).fit((X, Y), epochs=0, callbacks=[Log(log, "b")])
        assert [entry[0] for entry in log] == ["a", "b", "b", "a"]

    def test_stop(self):
        t = trainer()
        history = t.fit((X, Y), epochs=5, batch_size=10, callbacks=[StopAt(13)])
        assert t.step == 13
        assert len(history) == 1
        assert not history.interrupted

    def test_an_error_ends_everything_in_order(self):
        class Bad(Callback):
            def on_steps(self, trainer):
                raise RuntimeError("from the hook")

        log = []
        t = trainer(callbacks=[Log(log)])
        with pytest.raises(RuntimeError, match="from the hook"):
            t.fit((X, Y), callbacks=[Bad()])
        assert log[-1][1] == "train end"
        assert isinstance(t.error, RuntimeError)
        assert not t.model.training
        assert len(t.fit((X, Y))) == 1
        assert t.error is None

    def test_many_steps_are_one_call(self):
        class Count(Callback):
            calls = 0

            def on_steps(self, trainer):
                self.calls += 1

        count = Count()
        trainer(callbacks=[count]).fit((np.tile(X, (100, 1)), np.tile(Y, 100)), batch_size=2)
        assert count.calls < 500  # of 5,150 steps

    def test_logs_are_running_averages(self):
        class Watch(Callback):
            def on_epoch_begin(self, trainer):
                assert trainer.logs == {}

            def on_steps(self, trainer):
                self.last = trainer.logs, trainer.samples_done

        watch = Watch()
        history = trainer(callbacks=[watch]).fit((X, Y), batch_size=32)
        logs, seen = watch.last
        assert seen == len(X)
        assert logs == {name: history[name][0] for name in ("loss", "accuracy")}

    @pytest.mark.parametrize("callbacks", [[Callback], ["csv"], Callback()])
    def test_others_are_refused(self, callbacks):
        with pytest.raises(TypeError, match="Trainer: callbacks must be"):
            trainer(callbacks=callbacks)
        with pytest.raises(TypeError, match=r"Trainer\.fit: callbacks must be"):
            trainer().fit((X, Y), callbacks=callbacks)


class Values(Callback):
    """Writes chosen numbers into a column."""

    def __init__(self, values, name="validation_loss"):
        self.values, self.name = list(values), name

    def on_epoch_end(self, trainer):
        trainer.history.epochs[-1][self.name] = self.values[trainer.epoch - 1]


class TestEarlyStopping:
    @pytest.mark.parametrize(
        ("values", "settings", "epochs"),
        [
            pytest.param([5, 4, 4, 4, 3, 2], {"patience": 2}, 4, id="equal-is-no-improvement"),
            pytest.param([5, 4, 4.5, 3, 3.5, 2], {"patience": 2}, 6, id="waiting-starts-anew"),
            pytest.param([5, 4.9, 4.8, 4.7, 4.6, 4.5], {"patience": 2, "min_delta": 0.15}, 6, id="summed-up"),
            pytest.param([5, 4.9, 4.8, 4.7, 4.6, 4.5], {"patience": 2, "min_delta": 1}, 3, id="min-delta"),
            pytest.param([math.nan] * 6, {"patience": 3}, 3, id="nan-never-improves"),
        ],
    )
    def test_lowest_loss(self, values, settings, epochs):
        stopping = EarlyStopping(**settings)
        history = trainer().fit((X, Y), epochs=6, callbacks=[Values(values), stopping])
        assert len(history) == epochs
        assert stopping.stopped_epoch == (epochs if epochs < 6 else None)

    def test_highest_accuracy(self):
        values = Values([0.1, 0.2, 0.3, 0.2, 0.2, 0.2], "validation_accuracy")
        stopping = EarlyStopping("validation_accuracy", patience=2)
        assert len(trainer().fit((X, Y), epochs=6, callbacks=[values, stopping])) == 5
        assert (stopping.best, stopping.best_epoch) == (0.3, 3)

    @pytest.mark.parametrize(("mode", "epochs"), [("auto", 3), ("min", 3), ("max", 6)])
    def test_mode(self, mode, epochs):
        values = Values([1, 2, 3, 4, 5, 6], "score")
        stopping = EarlyStopping("score", patience=2, mode=mode)
        assert len(trainer().fit((X, Y), epochs=6, callbacks=[values, stopping])) == epochs
        with pytest.raises(
            ValueError, match="EarlyStopping: mode must be 'auto', 'min' or 'max'; received 'up'"
        ):
            EarlyStopping(mode="up")

    @pytest.mark.parametrize("restore", [True, False], ids=["restored", "left"])
    def test_restore_best(self, restore):
        class Keep(Callback):
            def on_epoch_end(self, trainer):
                kept.append(weights(trainer))

        kept = []
        stopping = EarlyStopping(patience=2, restore_best=restore)
        t = trainer()
        t.fit((X, Y), epochs=9, callbacks=[Values([3, 1, 2, 2, 2, 2, 2, 2, 2]), stopping, Keep()])
        assert len(kept) == 4
        assert same(weights(t), kept[1] if restore else kept[3])
        assert not same(kept[1], kept[3])

    def test_a_new_run_begins_anew(self):
        stopping = EarlyStopping(patience=2)
        for _ in range(2):
            assert len(trainer().fit((X, Y), epochs=6, callbacks=[Values([1] * 6), stopping])) == 3

    def test_unknown_column(self):
        with pytest.raises(
            ValueError, match=r"EarlyStopping: monitor must be one of epoch.*received 'speed'"
        ):
            trainer().fit((X, Y), callbacks=[EarlyStopping("speed")])

    def test_settings_are_checked(self):
        with pytest.raises(ValueError, match="EarlyStopping: patience must be a positive int; received 0"):
            EarlyStopping(patience=0)
        with pytest.raises(ValueError, match="EarlyStopping: min_delta must be finite"):
            EarlyStopping(min_delta=math.nan)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestProgress:
    def test_a_line_per_epoch_without_a_terminal(self):
        file = io.StringIO()
        trainer().fit((X, Y), validation=(X, Y), epochs=12, callbacks=[ProgressBar(file)])
        lines = file.getvalue().splitlines()
        assert len(lines) == 12
        assert lines[0].startswith("epoch  1/12: loss 0.")
        for part in (" accuracy 0.", " validation loss 0.", " validation accuracy 0.", " images/s, "):
            assert part in lines[11]

    def test_a_bar_on_a_terminal(self):
        pytest.importorskip("tqdm")
        file = Terminal()
        trainer().fit((X, Y), epochs=2, callbacks=[ProgressBar(file)])
        text = file.getvalue()
        for part in (
            "epoch 1/2",
            "epoch 2/2",
            "images/s",
            "loss 0.",
            "accuracy 0.",
            " left",
            "\nepoch 2/2: loss",
        ):
            assert part in text.replace("\r", "\n")

    def test_without_tqdm_a_terminal_gets_lines(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        file = Terminal()
        trainer().fit((X, Y), callbacks=[ProgressBar(file)])
        assert len(file.getvalue().splitlines()) == 1
        assert "\r" not in file.getvalue()

    def test_true_shows_and_none_is_silent_without_a_terminal(self, capsys):
        trainer().fit((X, Y), progress=None)
        trainer().fit((X, Y), progress=False)
        assert capsys.readouterr() == ("", "")
        trainer().fit((X, Y), progress=True)
        assert capsys.readouterr().err.startswith("epoch 1/1: loss")


class TestHistoryFiles:
    def test_loggers_write_every_digit(self, tmp_path):
        table, text = tmp_path / "h.csv", tmp_path / "h.json"
        history = trainer().fit((X, Y), epochs=3, callbacks=[CSVLogger(table), JSONLogger(text)])
        with open(table, newline="") as file:
            read = list(csv.DictReader(file))
        assert list(read[0]) == history.columns()
        assert [{name: float(value) for name, value in row.items()} for row in read] == history.epochs
        assert read[1]["epoch"] == "2"
        again = History.from_json(text)
        assert again.epochs == history.epochs
        assert not again.interrupted

    def test_the_file_is_there_after_every_epoch(self, tmp_path):
        class Look(Callback):
            def on_epoch_end(self, trainer):
                lengths.append(len((tmp_path / "h.csv").read_text().splitlines()))

        lengths = []
        trainer().fit((X, Y), epochs=3, callbacks=[CSVLogger(tmp_path / "h.csv"), Look()])
        assert lengths == [2, 3, 4]

    def test_missing_and_strange_values(self, tmp_path):
        history = History(
            [{"epoch": 1, "loss": math.nan}, {"epoch": 2, "loss": math.inf, "extra": -math.inf}]
        )
        history.interrupted = True
        history.to_json(tmp_path / "h.json")
        json.loads((tmp_path / "h.json").read_text(), parse_constant=pytest.fail)  # strict JSON
        again = History.from_json(tmp_path / "h.json")
        assert math.isnan(again["loss"][0])
        assert again.epochs[1] == history.epochs[1]
        assert again.interrupted
        history.to_csv(tmp_path / "h.csv")
        assert (tmp_path / "h.csv").read_text() == "epoch,loss,extra\n1,nan,\n2,inf,-inf\n"

    def test_columns(self):
        history = History([{"epoch": 1, "loss": 1.0}, {"loss": 0.5, "note": 7, "epoch": 2}])
        assert history["note"] == [None, 7]
        assert "note" in history
        assert "speed" not in history
        assert [row["loss"] for row in history] == [1.0, 0.5]
        with pytest.raises(KeyError, match="no column 'speed'; there are epoch, loss, note"):
            history["speed"]
        assert rows(history) == history.epochs

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"epochs": [1]}', '{"epochs": [], "format": 99}'])
    def test_other_files_are_refused(self, tmp_path, text):
        (tmp_path / "h.json").write_text(text)
        with pytest.raises(ValueError, match=r"History\.from_json: "):
            History.from_json(tmp_path / "h.json")

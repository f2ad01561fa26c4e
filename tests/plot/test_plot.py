"""Pictures are drawn without a display, from every form of history."""

import json
import os
import resource

import numpy as np
import pytest

from tenfold import plot
from tenfold.train import History

pytest.importorskip("matplotlib")

ROWS = [
    {"epoch": i + 1, "loss": 1 / (i + 1), "accuracy": 1 - 0.5 / (i + 1), "validation_accuracy": a}
    for i, a in enumerate([0.5, 0.9, 0.8])
]


def size(path):
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return tuple(int.from_bytes(content[i : i + 4], "big") for i in (16, 20))


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_best_epoch_is_marked(tmp_path):
    figure = plot.learning_curve(ROWS, tmp_path / "a.png", "a title")
    loss, accuracy = figure.axes
    assert legend(loss) == ["training", "best training: 0.333, epoch 3"]
    assert legend(accuracy) == ["training", "validation", "best validation: 90.00 %, epoch 2"]
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    assert loss.get_ylabel()
    width, height = size(tmp_path / "a.png")
    assert width > 1000
    assert height > 500


@pytest.mark.parametrize("form", ["rows", "history", "csv", "json"])
def test_every_form_of_history(tmp_path, form):
    history = History(ROWS)
    history.to_csv(tmp_path / "h.csv")
    history.to_json(tmp_path / "h.json")
    value = {"rows": ROWS, "history": history, "csv": tmp_path / "h.csv", "json": str(tmp_path / "h.json")}[
        form
    ]
    figure = plot.learning_curve(value)
    line = figure.axes[1].get_lines()[1]
    np.testing.assert_allclose(line.get_ydata(), [0.5, 0.9, 0.8])


def test_one_epoch_and_no_accuracy(tmp_path):
    figure = plot.learning_curve([{"epoch": 1, "loss": 0.5}], tmp_path / "a.png")
    assert len(figure.axes) == 1
    size(tmp_path / "a.png")


def test_a_loss_that_is_not_finite_is_left_out(tmp_path):
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": float("nan")}]
    assert legend(plot.learning_curve(rows, tmp_path / "a.png").axes[0])[1] == "best training: 0.5, epoch 1"
    plot.learning_curve([{"epoch": 1, "loss": float("nan")}], tmp_path / "b.png")


def test_a_long_fall_has_a_logarithmic_axis():
    rows = [{"epoch": i, "loss": 2.0 * 0.5**i} for i in range(1, 12)]
    assert plot.learning_curve(rows).axes[0].get_yscale() == "log"
    assert plot.learning_curve(ROWS).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_other_formats(tmp_path, suffix):
    plot.learning_curve(ROWS, tmp_path / f"a.{suffix}")
    assert (tmp_path / f"a.{suffix}").stat().st_size > 1000


def test_a_picture_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    path.chmod(0o640)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # writing beyond fails, as on a full disk
    try:
        with pytest.raises(OSError, match="the file was not written"):
            plot.learning_curve(ROWS, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]
    plot.learning_curve(ROWS, path)
    size(path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_is_no_history_is_named(tmp_path):
    with pytest.raises(ValueError, match="at least one epoch"):
        plot.learning_curve([])
    with pytest.raises(ValueError, match=r"path must end in one of .*png.*; received .*a\.xyz"):
        plot.learning_curve(ROWS, tmp_path / "a.xyz")
    with pytest.raises(FileNotFoundError):
        plot.learning_curve(tmp_path / "absent.csv")
    (tmp_path / "b.csv").write_text("epoch,loss\n1,much\n")
    with pytest.raises(ValueError, match=r"b\.csv must be a history"):
        plot.learning_curve(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"c\.csv must be a history"):
        plot.learning_curve(tmp_path / "c.csv")
    (tmp_path / "d.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match=r"d\.json"):
        plot.learning_curve(tmp_path / "d.json")


def test_confusion_matrix(tmp_path):
    figure = plot.confusion_matrix([[3, 1], [0, 4]], ["cat", "dog"], tmp_path / "a.png")
    axes = figure.axes[0]
    assert sorted(text.get_text() for text in axes.texts) == ["1", "3", "4"]
    assert axes.get_title(loc="left") == "7 of 8 correct"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    size(tmp_path / "a.png")


def test_a_class_without_images(tmp_path):
    plot.confusion_matrix(np.array([[0, 0], [0, 4]]), path=tmp_path / "a.png")


def test_confusion_matrix_refuses():
    with pytest.raises(ValueError, match=r"matrix must be of shape \(K, K\); received \(2, 3\)"):
        plot.confusion_matrix(np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="classes must have 2 names; received 1"):
        plot.confusion_matrix(np.eye(2, dtype=int), ["a"])


def test_filters_and_feature_maps(tmp_path):
    generator = np.random.default_rng(0)
    for weight, tiles in (((6, 1, 5, 5), 6), ((4, 3, 3, 3), 4), ((5, 2, 3, 3), 10)):
        figure = plot.filters(generator.normal(size=weight), tmp_path / "f.png")
        assert sum(bool(axes.images) for axes in figure.axes) == tiles
    figure = plot.feature_maps(generator.normal(size=(1, 11, 6, 7)), tmp_path / "m.png")
    assert sum(bool(axes.images) for axes in figure.axes) == 11
    with pytest.raises(ValueError, match=r"\(F, C, KH, KW\)"):
        plot.filters(np.zeros((5, 5)))
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        plot.feature_maps(np.zeros((2, 3, 5, 5)))


def test_the_users_own_settings_are_left_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plot.learning_curve(ROWS)
    assert dict(mpl.rcParams) == before


def test_a_profile_has_a_bar_for_every_operation(tmp_path):
    import tenfold
    from tenfold import nn

    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    profile = tenfold.profile(model, np.ones((4, 5), np.float32), seconds=0.001)
    figure = plot.profile(profile, tmp_path / "p.png", "a title")
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["0   linear", "1   tanh", "2   linear"]
    assert len(figure.axes[0].patches) == 2 * len(names)  # forward and backward
    size(tmp_path / "p.png")


def test_small_operations_of_a_long_profile_share_a_bar():
    import tenfold
    from tenfold import functional as F

    w = np.ones((600, 600))

    def function(x):
        for _ in range(6):
            x = F.tanh(F.mean(F.linear(x, w), axis=1, keepdims=True) + x)
        return x

    profile = tenfold.profile(function, np.ones((100, 600)), seconds=0.001, backward=False, fuse=False)
    assert len(profile.operations) == 24
    figure = plot.profile(profile)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    small = [o for o in profile.operations if o.seconds < 0.005 * profile.seconds]
    assert len(names) == len(profile.operations) - (len(small) - 1 if len(small) > 1 else 0)

"""Losses and accuracy against the reference."""

import numpy as np
import pytest
from tests.gradcheck import check_gradients
from tests.reference import loss as reference
from tests.tolerance import assert_close

import tenfold
from tenfold import functional as F
from tenfold import nn

DTYPES = [np.float32, np.float64]
REDUCTIONS = ["mean", "sum", "none"]
LOGITS = [
    pytest.param((5,), id="one_prediction"),
    pytest.param((64, 10), id="ten_classes"),
    pytest.param((257, 3), id="one_above_a_chunk"),
    pytest.param((2, 3, 5, 7), id="image"),
    pytest.param((2, 3, 67), id="columns_above_a_block"),
    pytest.param((1, 1), id="one_class"),
]


def rng(seed=0):
    return np.random.default_rng(seed)


def logits_and_labels(shape, dtype=np.float64):
    x = np.asarray(3 * rng().standard_normal(shape), dtype)
    axis = 0 if len(shape) == 1 else 1
    labels = rng(1).integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    return x, labels


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", LOGITS)
@pytest.mark.parametrize(
    "target", ["labels", "ignored", "shares", "weighted", "smoothed_weighted_shares", "smoothed"]
)
def test_cross_entropy(isa, shape, dtype, reduction, target):
    x, t = logits_and_labels(shape, dtype)
    classes = x.shape[0 if x.ndim == 1 else 1]
    options = {"reduction": reduction}
    if target == "ignored":
        t = np.array(t)
        options["ignore_index"] = 7 * classes
        t.reshape(-1)[1::2] = 7 * classes
    if "weighted" in target:
        options["weight"] = rng(2).uniform(0.5, 2, classes).astype(dtype)
    if "smoothed" in target:
        options["label_smoothing"] = 0.25
    if "shares" in target:
        t = rng(3).random(shape).astype(dtype)
    y, pull = tenfold.vjp(lambda x: F.cross_entropy(x, t, **options), x)
    dy = np.asarray(rng(4).uniform(0.5, 2, y.shape), dtype)
    value, gradient = reference.cross_entropy(x, t, **options, dy=dy)
    assert y.dtype == dtype
    terms = classes * (1 if reduction == "none" else max(t.size, 1))
    assert_close(y, value, terms)
    assert_close(pull(dy)[0], gradient, classes, scale=float(np.abs(x).max() * np.abs(gradient).max()))


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4)], ids=["rows", "columns"])
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_cross_entropy_gradient_by_differences(shape, smoothing):
    x, labels = logits_and_labels(shape)
    weight = np.linspace(0.5, 2, shape[1])
    check_gradients(lambda x: F.cross_entropy(x, labels, weight, label_smoothing=smoothing), x)
    check_gradients(lambda x: F.cross_entropy(x, SHARES[shape], weight), x)


SHARES = {shape: rng(5).random(shape) for shape in [(3, 5), (2, 3, 4)]}


def test_gradient_after_softmax_is_softmax_minus_target(isa):
    x, labels = logits_and_labels((7, 10))
    _, pull = tenfold.vjp(lambda x: F.cross_entropy(x, labels, reduction="sum"), x)
    np.testing.assert_allclose(pull(np.ones(()))[0], F.softmax(x) - F.one_hot(labels, 10), rtol=0, atol=1e-15)


def test_cross_entropy_is_nll_of_log_softmax(isa):
    x, labels = logits_and_labels((2, 3, 5))
    np.testing.assert_allclose(
        F.cross_entropy(x, labels), F.nll_loss(F.log_softmax(x, axis=1), labels), rtol=1e-14
    )


def test_cross_entropy_of_one_hot_shares_is_that_of_labels(isa):
    x, labels = logits_and_labels((7, 10))
    shares = F.one_hot(labels, 10, dtype=np.float64)
    np.testing.assert_allclose(F.cross_entropy(x, shares), F.cross_entropy(x, labels), rtol=1e-14)


def test_cross_entropy_never_overflows(isa):
    x = np.array([[0, 10000], [-10000, 0]], np.float32)
    y, pull = tenfold.vjp(lambda x: F.cross_entropy(x, np.array([0, 1]), reduction="none"), x)
    np.testing.assert_array_equal(y, [10000, 0])
    np.testing.assert_array_equal(pull(np.ones(2))[0], [[-1, 1], [0, 0]])


def test_mean_of_nothing_is_nan():
    assert np.isnan(F.cross_entropy(np.zeros((0, 3)), np.zeros(0, int)))
    assert np.isnan(F.cross_entropy(np.zeros((2, 3)), np.array([-100, -100])))
    assert F.cross_entropy(np.zeros((0, 3)), np.zeros(0, int), reduction="sum") == 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", LOGITS)
def test_nll_loss(isa, shape, dtype, reduction):
    x, labels = logits_and_labels(shape, dtype)
    classes = x.shape[0 if x.ndim == 1 else 1]
    weight = rng(2).uniform(0.5, 2, classes).astype(dtype)
    y, pull = tenfold.vjp(lambda x: F.nll_loss(x, labels, weight, reduction=reduction), x)
    dy = np.asarray(rng(4).uniform(0.5, 2, y.shape), dtype)
    value, gradient = reference.cross_entropy(x, labels, weight, reduction=reduction, dy=dy, of_log=True)
    assert_close(y, value, labels.size, scale=float(np.abs(x).max() * 2 * labels.size))
    assert_close(pull(dy)[0], gradient)


WRONG_LABELS = [
    pytest.param([0, 4, 1], "from 0 to 3 .*received 4 at position 1", id="too_large"),
    pytest.param([0, 1, -1], "from 0 to 3 .*received -1 at position 2", id="negative"),
    pytest.param([2**62, 1, -1], f"from 0 to 3 .*received {2**62} at position 0", id="huge"),
]


@pytest.mark.parametrize("f", [F.cross_entropy, F.nll_loss, F.accuracy], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("labels", "text"), WRONG_LABELS)
def test_labels_out_of_range_are_refused(isa, f, labels, text):
    labels = np.array(labels)
    with pytest.raises(ValueError, match=f"^{f.__name__}: target must hold labels {text}"):
        f(np.zeros((3, 4), np.float32), labels)
    with pytest.raises(ValueError, match=f"^{f.__name__}: target must hold labels {text}"):
        tenfold.vjp(lambda x: f(x, labels), np.zeros((3, 4)))


REFUSED = [
    pytest.param(
        (np.zeros(()), np.zeros((), int)), {}, ValueError, r"input must have shape \(C,\)", id="scalar"
    ),
    pytest.param((np.zeros((2, 0)), np.zeros(2, int)), {}, ValueError, "at least one class", id="no_classes"),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(3, int)), {}, ValueError, r"target must have shape \(2,\)", id="length"
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros((2, 3), int)), {}, ValueError, "target must have shape", id="rank"
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros((2, 3), object)), {}, TypeError, "target must be an integer", id="object"
    ),
    pytest.param(
        (np.zeros((2, 3), int), np.zeros(2, int)), {}, TypeError, "input must be a float32", id="int_input"
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(2, int)),
        {"reduction": "all"},
        ValueError,
        "reduction must be",
        id="reduction",
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(2, int), np.ones(2)),
        {},
        ValueError,
        r"weight must have shape \(3,\)",
        id="weight",
    ),
    pytest.param(
        (np.zeros((2, 3)), np.zeros(2, int), np.ones(3, np.float32)),
        {},
        TypeError,
        "weight must have the dtype",
        id="weight_dtype",
    ),
]


@pytest.mark.parametrize("f", [F.cross_entropy, F.nll_loss], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("arguments", "options", "error", "text"), REFUSED)
def test_wrong_arguments_are_refused(f, arguments, options, error, text):
    with pytest.raises(error, match=f"^{f.__name__}: .*{text}"):
        f(*arguments, **options)


def test_wrong_shares_are_refused():
    with pytest.raises(ValueError, match="cross_entropy: target must have the shape of input"):
        F.cross_entropy(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(
        TypeError, match="cross_entropy: target must hold int64 labels or have the dtype of input"
    ):
        F.cross_entropy(np.zeros((2, 3)), np.zeros((2, 3), np.float32))
    with pytest.raises(
        ValueError, match=r"cross_entropy: label_smoothing must be from 0 to 1; received 1\.5"
    ):
        F.cross_entropy(np.zeros((2, 3)), np.zeros(2, int), label_smoothing=1.5)


POINTWISE = [
    pytest.param("mse_loss", {}, id="mse"),
    pytest.param("l1_loss", {}, id="l1"),
    pytest.param("smooth_l1_loss", {"beta": 0.75}, id="smooth_l1"),
    pytest.param("smooth_l1_loss", {"beta": 0.0}, id="smooth_l1_without_smoothing"),
    pytest.param("huber_loss", {"delta": 0.75}, id="huber"),
    pytest.param("binary_cross_entropy", {}, id="bce"),
    pytest.param("binary_cross_entropy_with_logits", {}, id="bce_with_logits"),
]


def pair(name, shape, dtype):
    x, t = rng().standard_normal(shape), rng(1).standard_normal(shape)
    if name.startswith("binary"):
        t = rng(1).random(shape)
    if name == "binary_cross_entropy":
        x = rng().uniform(0.01, 0.99, shape)
    return np.asarray(x, dtype), np.asarray(t, dtype)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(), (17,), (3, 5), (5, 411)], ids=["scalar", "vector", "matrix", "above_a_chunk"]
)
@pytest.mark.parametrize(("name", "options"), POINTWISE)
def test_pointwise_loss(isa, name, options, shape, dtype, reduction):
    x, t = pair(name, shape, dtype)
    y, pull = tenfold.vjp(lambda x, t: getattr(F, name)(x, t, reduction=reduction, **options), x, t)
    value, slope_x, slope_t = reference.POINTWISE[name](x.astype(float), t.astype(float), *options.values())
    dy = np.asarray(rng(4).uniform(0.5, 2, y.shape), dtype)
    factor = dy.astype(float)
    if reduction != "none":
        value = value.sum()
    if reduction == "mean":
        value, factor = value / x.size, factor / x.size
    assert_close(y, value, x.size)
    dx, dt = pull(dy)
    assert_close(dx, slope_x * factor, scale=float(4 * np.abs(slope_x * factor).max()))
    assert_close(dt, slope_t * factor, scale=float(4 * np.abs(slope_t * factor).max()))


@pytest.mark.parametrize(("name", "options"), POINTWISE)
def test_pointwise_gradient_by_differences(name, options):
    x, t = pair(name, (3, 5), np.float64)
    x = np.clip(x, 0.2, 0.8) if name == "binary_cross_entropy" else x
    check_gradients(lambda x, t: getattr(F, name)(x, t, **options), x, t, rtol=1e-6)


def test_binary_cross_entropy_with_logits_never_overflows(isa):
    x = np.array([-10000, -10000, 10000, 10000], np.float32)
    t = np.array([0, 1, 0, 1], np.float32)
    y, pull = tenfold.vjp(lambda x: F.binary_cross_entropy_with_logits(x, t, reduction="none"), x)
    np.testing.assert_array_equal(y, [0, 10000, 10000, 0])
    np.testing.assert_array_equal(pull(np.ones(4))[0], [0, -1, 1, 0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("name", "weighted"),
    [
        ("binary_cross_entropy", "weight"),
        ("binary_cross_entropy_with_logits", "weight"),
        ("binary_cross_entropy_with_logits", "pos_weight"),
        ("binary_cross_entropy_with_logits", "both"),
    ],
)
def test_weighted_binary_cross_entropy(name, weighted, reduction):
    x, t = pair(name, (4, 3), np.float64)
    w, p = np.array([[0.5], [1.0], [2.0], [3.0]]), np.array([0.25, 1.0, 4.0])
    options = {"weight": w} if weighted == "weight" else {"pos_weight": p}
    if weighted == "both":
        options["weight"] = w
    value = reference.POINTWISE[name]
    yes, no = value(x, np.ones_like(t))[0], value(x, np.zeros_like(t))[0]
    expected = options.get("weight", 1.0) * (options.get("pos_weight", 1.0) * t * yes + (1 - t) * no)
    expected = {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](expected)
    f = getattr(F, name)
    np.testing.assert_allclose(f(x, t, reduction=reduction, **options), expected, rtol=1e-13)
    check_gradients(lambda x, t: f(x, t, reduction=reduction, **options), x, t, rtol=1e-6)
    with pytest.raises(ValueError, match=rf"^{name}: .*weight must broadcast to the shape of input, \(3,\)"):
        f(x[0], t[0], **{key: np.ones((4, 3)) for key in options})


def test_binary_cross_entropy_at_the_ends(isa):
    x, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    np.testing.assert_array_equal(F.binary_cross_entropy(x, t, reduction="none"), [0, 0, 100, 100])


@pytest.mark.parametrize(("name", "options"), POINTWISE)
def test_nan_passes_through(isa, name, options):
    x = np.full(3, 0.5)
    x[1] = np.nan
    y = getattr(F, name)(x, np.full(3, 0.25), reduction="none", **options)
    np.testing.assert_array_equal(np.isnan(y), [False, True, False])


@pytest.mark.parametrize(("name", "options"), POINTWISE)
def test_pointwise_loss_refuses(name, options):
    f = getattr(F, name)
    with pytest.raises(
        ValueError, match=rf"^{name}: target must have the shape of input, \(2, 3\); received \(2, 1\)"
    ):
        f(np.zeros((2, 3)), np.zeros((2, 1)), **options)
    with pytest.raises(
        TypeError, match=f"^{name}: target must have the dtype of input, float64; received float32"
    ):
        f(np.zeros(3), np.zeros(3, np.float32), **options)
    with pytest.raises(TypeError, match=f"^{name}: input must be a float32 or float64 array"):
        f(np.zeros(3, int), np.zeros(3), **options)
    with pytest.raises(
        ValueError, match=f"^{name}: reduction must be 'mean', 'sum' or 'none'; received 'median'"
    ):
        f(np.zeros(3), np.zeros(3), reduction="median", **options)


def test_wrong_parameters_are_refused():
    with pytest.raises(ValueError, match="smooth_l1_loss: beta must be at least 0; received -1"):
        F.smooth_l1_loss(np.zeros(3), np.zeros(3), beta=-1)
    with pytest.raises(ValueError, match="huber_loss: delta must be positive; received 0"):
        F.huber_loss(np.zeros(3), np.zeros(3), delta=0)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("shape", [(64, 5), (4, 3, 7)], ids=["rows", "columns"])
def test_accuracy(isa, shape, k):
    x, labels = logits_and_labels(shape)
    x = np.round(x)  # many ties
    labels.flat[::3] = -100
    np.testing.assert_allclose(F.accuracy(x, labels, k=k), reference.accuracy(x, labels, k), rtol=1e-15)


def test_accuracy_is_that_of_argmax():
    x, labels = logits_and_labels((200, 10), np.float32)
    assert F.accuracy(x, labels) == np.float32(np.mean(x.argmax(1) == labels))


def test_accuracy_counts_nan_as_a_miss():
    assert F.accuracy(np.array([[np.nan, 1.0], [np.nan, 1.0]]), np.array([0, 1])) == 0


def test_accuracy_refuses_k():
    with pytest.raises(
        ValueError, match="accuracy: k must be from 1 to the number of classes, 3; received 4"
    ):
        F.accuracy(np.zeros((2, 3)), np.zeros(2, int), k=4)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
def test_one_hot(dtype, shape):
    labels = rng().integers(0, 7, shape)
    y = F.one_hot(labels, 7, dtype=dtype)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, reference.one_hot(np.asarray(labels), 7))


def test_one_hot_counts_classes_by_itself():
    assert F.one_hot(np.array([1, 4])).shape == (2, 5)


@pytest.mark.parametrize(
    ("labels", "classes", "text"),
    [
        ([0, 3], 3, "labels must be from 0 to 2; received 3 at position 1"),
        ([0, -2], -1, "labels must be at least 0; received -2"),
        ([0, -2], 3, "labels must be from 0 to 2; received -2 at position 1"),
        ([0, 1], 0, "num_classes must be at least 1; received 0"),
        ([], -1, "num_classes must be given"),
    ],
)
def test_one_hot_refuses(labels, classes, text):
    with pytest.raises(ValueError, match=f"^one_hot: {text}"):
        F.one_hot(np.array(labels, int), classes)


LAYERS = [
    (nn.CrossEntropyLoss(label_smoothing=0.1), lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1)),
    (nn.CrossEntropyLoss([1, 2, 3]), lambda x, t: F.cross_entropy(x, t, np.arange(1.0, 4.0))),
    (nn.NLLLoss(reduction="sum"), lambda x, t: F.nll_loss(x, t, reduction="sum")),
]


@pytest.mark.parametrize(("layer", "f"), LAYERS, ids=["smoothed", "weighted", "nll"])
def test_layers_of_labels(layer, f):
    x, labels = logits_and_labels((5, 3))
    np.testing.assert_array_equal(layer(x, labels), f(x, labels))


@pytest.mark.parametrize(
    ("layer", "f"),
    [
        (nn.MSELoss(), F.mse_loss),
        (nn.L1Loss(), F.l1_loss),
        (nn.SmoothL1Loss(), F.smooth_l1_loss),
        (nn.HuberLoss(), F.huber_loss),
        (nn.BCELoss(), F.binary_cross_entropy),
        (nn.BCEWithLogitsLoss(), F.binary_cross_entropy_with_logits),
    ],
    ids=lambda x: type(x).__name__,
)
def test_layers_of_pairs(layer, f):
    x, t = pair("binary_cross_entropy", (3, 5), np.float32)
    np.testing.assert_array_equal(layer(x, t), f(x, t))


def test_same_bits_at_every_thread_count():
    x, labels = logits_and_labels((3000, 40), np.float32)
    t = rng(2).random(x.shape).astype(np.float32)
    before, results = tenfold.num_threads(), []
    try:
        for threads in (1, 2, 3):
            tenfold.set_num_threads(threads)
            found = []
            for f in (
                lambda x: F.cross_entropy(x, labels),
                lambda x: F.mse_loss(x, t),
                lambda x: F.nll_loss(x, labels),
            ):
                y, pull = tenfold.vjp(f, x)
                found += [y.tobytes(), pull(np.ones(()))[0].tobytes()]
            results.append(found)
    finally:
        tenfold.set_num_threads(before)
    assert results[0] == results[1] == results[2]

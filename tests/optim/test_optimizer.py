"""Optimisers over several steps, against the reference."""

import numpy as np
import pytest
from tests.reference import optim as reference

from tenfold import _core, nn, num_threads, optim, set_num_threads

CASES = [
    pytest.param(optim.SGD, reference.sgd, {"lr": 0.1}, id="sgd"),
    pytest.param(optim.SGD, reference.sgd, {"lr": 0.1, "weight_decay": 0.25}, id="sgd_decay"),
    pytest.param(optim.SGD, reference.sgd, {"lr": 0.1, "momentum": 0.9}, id="momentum"),
    pytest.param(
        optim.SGD,
        reference.sgd,
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.25},
        id="dampening",
    ),
    pytest.param(
        optim.SGD,
        reference.sgd,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.25, "nesterov": True},
        id="nesterov",
    ),
    pytest.param(optim.Adam, reference.adam, {"lr": 0.1}, id="adam"),
    pytest.param(
        optim.Adam,
        reference.adam,
        {"lr": 0.1, "betas": (0.5, 0.75), "eps": 0.01, "weight_decay": 0.25},
        id="adam_decay",
    ),
    pytest.param(
        optim.AdamW,
        lambda *a, **k: reference.adam(*a, **k, decoupled=True),
        {"lr": 0.1, "weight_decay": 0.25},
        id="adamw",
    ),
    pytest.param(optim.RMSprop, reference.rmsprop, {"lr": 0.01, "weight_decay": 0.25}, id="rmsprop"),
    pytest.param(
        optim.RMSprop, reference.rmsprop, {"lr": 0.01, "alpha": 0.5, "momentum": 0.9}, id="rmsprop_momentum"
    ),
]


def draw(shape, dtype, steps=5):
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape).astype(dtype), [
        rng.standard_normal(shape).astype(dtype) for _ in range(steps)
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 100])
@pytest.mark.parametrize(("kind", "expected", "options"), CASES)
def test_steps(isa, kind, expected, options, n, dtype):
    p, gradients = draw(n, dtype)
    start = p.copy()
    optimizer = kind(**options)
    for g in gradients:
        optimizer.step([p], [g])
    # Every step rounds a few numbers of the size of p, and divides by a root that may be small.
    np.testing.assert_allclose(
        p, expected(start, gradients, **options), rtol=0, atol=200 * np.finfo(dtype).eps
    )


@pytest.mark.parametrize(("kind", "expected", "options"), CASES)
def test_same_bits_at_every_thread_count(kind, expected, options):
    results = []
    before = num_threads()
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            p, gradients = draw(200_003, np.float32, 2)
            optimizer = kind(**options)
            for g in gradients:
                optimizer.step(p, g)
            results.append(p.tobytes())
    finally:
        set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_core_steps_a_flat_vector():
    core = optim.SGD(momentum=0.5).core
    assert isinstance(core, _core.Optimizer)
    p, g, b = np.ones(3), np.full(3, 2.0), np.zeros(3)
    core.step(p, g, [b], 0.25, 0)
    core.step(p, g, [b], 0.25, 1)
    np.testing.assert_array_equal(b, 3)  # 0.5 * 2 + 2
    np.testing.assert_array_equal(p, 1 - 0.25 * 2 - 0.25 * 3)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (optim.SGD, 0),
        (lambda: optim.SGD(momentum=0.9), 1),
        (optim.Adam, 2),
        (optim.RMSprop, 1),
        (lambda: optim.RMSprop(momentum=0.9), 2),
    ],
    ids=["sgd", "momentum", "adam", "rmsprop", "rmsprop_momentum"],
)
def test_state_count(make, count):
    assert make().state_count == count


def test_parameters_in_lists_dicts_and_alone_are_changed_in_place():
    parameter = nn.Parameter(np.ones((2, 3), np.float32))
    array = np.ones((4, 5))[:, ::2]  # not contiguous
    optimizer = optim.SGD(lr=0.5, momentum=0.5)
    for _ in range(2):
        optimizer.step({"w": parameter, "v": array}, {"v": np.ones((4, 3)), "w": np.ones((2, 3), np.float32)})
    np.testing.assert_array_equal(parameter.data, 1 - 0.5 - 0.75)
    np.testing.assert_array_equal(array, 1 - 0.5 - 0.75)
    alone = np.ones(2)
    optim.SGD(lr=0.5).step(alone, np.ones(2))
    np.testing.assert_array_equal(alone, 0.5)


def test_schedule_sets_the_rate_of_each_step():
    p = np.zeros(1)
    optimizer = optim.SGD(lr=lambda step, total: (step + 1) / total)
    for _ in range(4):
        optimizer.step(p, np.array([-1.0]), total_steps=8)
    np.testing.assert_array_equal(p, (1 + 2 + 3 + 4) / 8)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optim.SGD(lr=-1), "SGD: lr must be finite and at least 0; received -1"),
        (lambda: optim.SGD(lr=float("nan")), "SGD: lr must be finite and at least 0; received nan"),
        (lambda: optim.SGD(momentum=-0.5), "SGD: momentum must be finite and at least 0; received -0.5"),
        (lambda: optim.SGD(weight_decay=-1), "SGD: weight_decay must be finite and at least 0; received -1"),
        (lambda: optim.SGD(nesterov=True), "SGD: nesterov needs momentum > 0 and dampening = 0"),
        (
            lambda: optim.SGD(momentum=0.9, dampening=0.1, nesterov=True),
            "SGD: nesterov needs momentum > 0 and dampening = 0",
        ),
        (
            lambda: optim.Adam(betas=(1.0, 0.9)),
            r"Adam: betas\[0\] must be at least 0 and less than 1; received 1",
        ),
        (lambda: optim.Adam(betas=(0.9, -0.1)), r"Adam: betas\[1\] must be at least 0 and less than 1"),
        (lambda: optim.Adam(betas=(0.9,)), "Adam: betas must be two floats"),
        (lambda: optim.AdamW(eps=-1), "AdamW: eps must be finite and at least 0; received -1"),
        (lambda: optim.RMSprop(alpha=1), "RMSprop: alpha must be at least 0 and less than 1; received 1"),
    ],
)
def test_illegal_settings_are_refused(make, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        make()


@pytest.mark.parametrize("lr", ["0.1", [0.1], None])
def test_lr_of_another_type_is_refused(lr):
    with pytest.raises(TypeError, match="SGD: lr must be a float, or a function"):
        optim.SGD(lr=lr)


@pytest.mark.parametrize(
    ("parameters", "gradients", "error", "text"),
    [
        ([np.zeros(2)], [np.zeros(3)], ValueError, r"gradient 0 must have the parameter's shape, \(2,\)"),
        ([np.zeros(2)], [np.zeros(2, np.float32)], TypeError, "gradient 0 must have the parameter's dtype"),
        ([np.zeros(2, int)], [np.zeros(2)], TypeError, "parameter 0 must be a float32 or float64 array"),
        (
            [np.zeros(2)],
            [None],
            TypeError,
            "gradient 0 must be a float32 or float64 array; received NoneType",
        ),
        ([np.zeros(2)], [], ValueError, "gradients must be one per parameter, 1; received 0"),
        (
            {"a": np.zeros(2)},
            {"b": np.zeros(2)},
            ValueError,
            r"gradients must have the keys \['a'\]; received \['b'\]",
        ),
        ([np.broadcast_to(0.0, 2)], [np.zeros(2)], ValueError, "parameter 0 must be writeable"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(parameters, gradients, error, text):
    first = np.ones(3)
    optimizer = optim.SGD(lr=1.0)
    with pytest.raises(error, match=f"^SGD.step: {text}"):
        optimizer.step(parameters, gradients)
    if isinstance(parameters, list) and len(gradients) == 1:
        with pytest.raises(error):
            optimizer.step([first, *parameters], [np.ones(3), *gradients])
        np.testing.assert_array_equal(first, 1)
    assert optimizer.steps == 0

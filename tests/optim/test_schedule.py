"""Learning-rate schedules by their formulas."""

import math

import numpy as np
import pytest

from tenfold import optim

T = 40
SCHEDULES = [
    pytest.param(optim.Constant(0.1), lambda t: 0.1, id="constant"),
    pytest.param(optim.Step(0.1, every=7, gamma=0.5), lambda t: 0.1 * 0.5 ** (t // 7), id="step"),
    pytest.param(optim.Step(0.1, drops=3, gamma=0.5), lambda t: 0.1 * 0.5 ** (t // 10), id="drops"),
    pytest.param(optim.Cosine(0.1), lambda t: 0.05 * (1 + math.cos(math.pi * t / T)), id="cosine"),
    pytest.param(
        optim.Cosine(0.1, final=0.25, warmup=4),
        lambda t: (
            0.1 * (t + 1) / 5 if t < 4 else 0.1 * (0.25 + 0.375 * (1 + math.cos(math.pi * (t - 4) / (T - 4))))
        ),
        id="cosine_warmup",
    ),
    pytest.param(
        optim.OneCycle(0.1, pct_start=0.25, div_factor=10, final_div_factor=100),
        lambda t: (
            0.1 + (0.01 - 0.1) / 2 * (1 + math.cos(math.pi * t / 9))
            if t <= 9
            else 0.0001 + (0.1 - 0.0001) / 2 * (1 + math.cos(math.pi * (t - 9) / 30))
        ),
        id="one_cycle",
    ),
    pytest.param(
        optim.LinearWarmup(optim.Step(0.1, every=10), 4),
        lambda t: 0.1 * (t + 1) / 5 if t < 4 else 0.1 * 0.1 ** ((t - 4) // 10),
        id="warmup",
    ),
    pytest.param(optim.LinearWarmup(0.1, 4), lambda t: 0.1 * min(t + 1, 5) / 5, id="warmup_to_a_constant"),
]


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES)
def test_formula(schedule, formula):
    expected = [formula(t) for t in range(T)]
    one_by_one = [schedule(t, T) for t in range(T)]
    assert all(isinstance(rate, float) for rate in one_by_one)
    np.testing.assert_allclose(one_by_one, expected, rtol=1e-12)
    np.testing.assert_array_equal(schedule(np.arange(T), T), one_by_one)


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES)
def test_rates_of_an_optimizer(schedule, formula):
    np.testing.assert_array_equal(optim.SGD(lr=schedule).rates(5, 3, T), schedule(np.arange(5, 8), T))


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES)
@pytest.mark.parametrize("total", [0, 1, 2])
def test_short_trainings_have_finite_rates(schedule, formula, total):
    assert np.isfinite(schedule(np.arange(3), total)).all()


def test_one_cycle_ends_where_it_should():
    schedule = optim.OneCycle(1.0)
    np.testing.assert_allclose(schedule([0, 29, 99], 100), [1 / 25, 1, 1 / 25e4])


def test_a_float_and_a_function_are_schedules():
    np.testing.assert_array_equal(optim.SGD(lr=0.5).rates(0, 3, 9), 0.5)
    np.testing.assert_array_equal(optim.SGD(lr=lambda t, n: t / n).rates(1, 2, 4), [0.25, 0.5])


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
def test_an_illegal_rate_is_refused(rate):
    optimizer = optim.SGD(lr=lambda t, n: rate if t == 2 else 0.1)
    with pytest.raises(ValueError, match=r"learning rate: must be finite and at least 0 .* at step 2 of 5"):
        optimizer.rates(0, 5, 5)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: optim.Constant(-1), ValueError, "Constant: lr must be finite and at least 0"),
        (lambda: optim.Step(0.1), ValueError, "Step: either every or drops must be given"),
        (lambda: optim.Step(0.1, every=0), ValueError, "Step: every must be at least 1; received 0"),
        (lambda: optim.Step(0.1, every=1.5), TypeError, "Step: every must be an int; received 1.5"),
        (lambda: optim.Step(0.1, every=2, gamma=0), ValueError, "Step: gamma must be finite and positive"),
        (lambda: optim.Cosine(0.1, final=-1), ValueError, "Cosine: final must be finite and at least 0"),
        (lambda: optim.OneCycle(0.1, pct_start=2), ValueError, "OneCycle: pct_start must be from 0 to 1"),
        (lambda: optim.LinearWarmup("0.1", 3), TypeError, "LinearWarmup: after must be a float"),
    ],
)
def test_illegal_settings_are_refused(make, error, text):
    with pytest.raises(error, match=f"^{text}"):
        make()

"""Turns are taken in fairness, and a disturbed one does not count."""

import math
import time

import pytest
from measure import (
    COLLAPSED,
    FARTHER,
    GOOD_TURNS,
    TRIAD,
    WAITED,
    Probe,
    Times,
    Turn,
    Work,
    fastest,
    grades,
    line,
    probe,
    take_turns,
)

BEST = Probe(peak=100.0, seconds=1.0, round_trip=50e-9)


@pytest.mark.parametrize(
    ("found", "grade"),
    [
        (BEST, 1),
        (Probe(80.0, 1.0, 50e-9), 0.8),
        (Probe(100.0, 2.0, 50e-9), 0.5),
        (Probe(100.0, 1.0, 99e-9), 0.758),
        (Probe(100.0, 1.0, 350e-9), 0.214),
        (Probe(80.0, 2.0, 350e-9), 0.214),
        (Probe(100.0, 1.0, 0.0), 1),  # one thread has nobody to be far from
    ],
)
def test_a_probe_is_as_good_as_the_worst_of_its_parts(found, grade):
    assert found.grade(BEST) == pytest.approx(grade, abs=1e-3)


def test_cores_may_be_as_far_apart_as_is_said():
    assert Probe(100.0, 1.0, FARTHER * 50e-9).grade(BEST) == pytest.approx(COLLAPSED)


def test_the_best_of_two_probes_is_the_best_in_everything():
    assert Probe(90.0, 0.5, 60e-9).better(BEST) == Probe(100.0, 0.5, 50e-9)
    assert Probe().better(BEST) == BEST


def test_a_turn_is_as_good_as_the_probes_beside_it_and_its_waiting():
    bad = Probe(50.0, 1.0, 50e-9)
    turns = [Turn(1.0, probes, 0.0) for probes in ((BEST, BEST), (BEST, bad), (bad, BEST))]
    assert grades(turns, BEST) == [1, 0.5, 0.5]
    turns = [Turn(1.0, (BEST, BEST), waited) for waited in (0.0, WAITED, 1.0)]
    assert grades(turns, BEST) == pytest.approx([1, COLLAPSED, COLLAPSED * WAITED])


def test_what_a_contestant_always_waits_is_no_disturbance():
    turns = [Turn(1.0, (BEST, BEST), waited) for waited in (0.3, 0.3 + WAITED, 0.5)]
    assert grades(turns, BEST) == pytest.approx([1, COLLAPSED, COLLAPSED * WAITED / 0.2])
    assert grades([], BEST) == []


@pytest.mark.parametrize("threads", [1, 2], indirect=True)
def test_a_probe_has_all_three(threads):
    found = probe()
    assert found.peak > 1e8
    assert 0 < found.seconds < 60
    assert (found.round_trip > 0) == (threads > 1)
    assert math.isfinite(found.round_trip)


def test_contestants_take_turns():
    calls = []
    contestants = {
        name: (lambda name=name: (calls.append(name), time.sleep(0.021))) for name in ("tenfold", "other")
    }
    contestants["broken"] = lambda: 1 / 0
    result = take_turns(Work("group", "name", contestants, flops=6e3, units=3, facts={"batch": 1}), 0.01)
    assert set(result.times) == {"tenfold", "other"}
    # A call takes so long that none is made for warming up; who begins changes.
    timed = calls[-result.turns :]
    assert timed[:4] == ["tenfold", "other", "other", "tenfold"]
    assert timed.count("tenfold") == timed.count("other")
    for own in result.times.values():
        assert 0.006 < own.best <= own.median < 1  # a third of a call
    assert result.turns == result.dropped + sum(len(t.seconds) for t in result.times.values())
    row = result.as_dict()
    assert (row["batch"], row["flops"], row["peak"]) == (1, 6e3, result.probe.peak)
    assert (
        row["times"]["tenfold"]["best"]
        <= row["times"]["tenfold"]["quarter"]
        <= row["times"]["tenfold"]["worst"]
    )
    assert "other" in line(result)
    assert (f"only {result.good} undisturbed" in line(result)) == (result.good < GOOD_TURNS)


def test_our_own_failure_is_no_reason_to_leave_us_out():
    with pytest.raises(ZeroDivisionError):
        take_turns(Work("group", "name", {"tenfold": lambda: 1 / 0, "other": lambda: None}), 0.01)


def test_the_fastest_of_the_others():
    result = take_turns(Work("group", "name", {"tenfold": lambda: None}), 0.001)
    times = {"tenfold": Times((1.0, 2.0, 3.0)), "a": Times((2.0, 5.0, 6.0)), "b": Times((3.0, 4.0, 9.0))}
    times[TRIAD] = Times((1.0,))  # no library
    object.__setattr__(result, "times", times)
    assert fastest(result, "median") == 2
    assert fastest(result, "best") == 2
    assert fastest(result, "median", ["a"]) == 2.5

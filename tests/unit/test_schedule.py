"""Schedules: what the texts mean, at which steps events fire, and that a restart changes nothing."""

from __future__ import annotations

import json
import random

import pytest

from hpcsim.errors import ConfigError
from hpcsim.schedule import NEVER, Schedule, parse_when


def fired(schedule: Schedule, steps: range, dt: float, t0: float = 0.0) -> list[int]:
    return [n for n in steps if schedule.due(n, t0 + n * dt, dt, wall_s=float(n))]


@pytest.mark.parametrize(
    ("text", "kind", "amount", "canonical"),
    [
        ("20 steps", "steps", 20, "20 steps"),
        ("1step", "steps", 1, "1 step"),
        ("1e3 steps", "steps", 1000, "1000 steps"),
        ("t=0.5", "time", 0.5, "t=0.5"),
        (" t = 5e-1 ", "time", 0.5, "t=0.5"),
        ("10 s", "wall", 10.0, "10 s"),
        ("30 min", "wall", 1800.0, "30 min"),
        ("1.5h", "wall", 5400.0, "1.5 h"),
        ("end", "end", 0, "end"),
    ],
)
def test_texts(text, kind, amount, canonical):
    when = parse_when(text)
    assert (when.kind, when.amount, str(when)) == (kind, amount, canonical)
    assert parse_when(str(when)) == when


@pytest.mark.parametrize(
    "text",
    ["", "steps", "0 steps", "-3 steps", "1.5 steps", "t=0", "t=-1", "t=nan", "t=1e400", "t=inf", "5", "20 stps", "5 d"]
    + [
        "1e30 steps",
        "1e308 h",
        "end end",
        "t=0.5 s",
        "x" * 10_000,
        "１０ s",
        "10 s\n20 s",
        None,
        3,
        "9" * 99 + " steps",
    ],
)
def test_texts_without_meaning_are_refused(text):
    """F-31, F-32: absurd intervals and unknown units."""
    with pytest.raises(ConfigError):
        parse_when(text)


def test_unknown_unit_has_a_suggestion():
    """F-32: unknown units."""
    with pytest.raises(ConfigError, match="unknown unit 'stps'; did you mean 'step"):
        parse_when("20 stps")


def by_definition(steps: range, dt: float, t0: float, interval: float) -> list[int]:
    """Steps at which an event fires, by the definition alone, one event after the other."""
    got, k = [], 1
    for n in steps:
        passed = k
        while t0 + n * dt >= t0 + k * interval - 0.5 * dt:
            k += 1
        got += [n] if k > passed else []
    return got


def test_time_events_fire_at_the_first_step_within_half_a_step():
    """Design 3a: an event fires at the first step with t >= due - dt/2, ties and rounding included."""
    rng = random.Random(5)
    for _ in range(1000):
        dt = rng.choice([0.1, 0.3, 1 / 3, 0.07, 0.01, rng.uniform(1e-3, 1.0)])
        interval = rng.choice([rng.randint(1, 12), rng.randint(0, 11) + 0.5, rng.uniform(0.01, 12.0)]) * dt
        t0 = rng.choice([0.0, 0.1, -3.3, 1e6])
        got = fired(Schedule(f"t={interval!r}", t0), range(1, 100), dt, t0)
        assert got == by_definition(range(1, 100), dt, t0, interval), (dt, interval, t0)
    assert fired(Schedule("t=0.1"), range(1, 101), 0.01) == list(range(10, 101, 10))


def test_time_is_counted_from_the_start_time():
    assert fired(Schedule("t=1", start_time=5.0), range(1, 31), 0.1, t0=5.0) == [10, 20, 30]


def test_an_interval_shorter_than_a_step_fires_once_a_step():
    for text in ("t=0.001", "t=1e-300", "1 step"):
        assert fired(Schedule(text), range(1, 6), 0.1) == [1, 2, 3, 4, 5]


def test_steps_wall_time_and_end():
    assert fired(Schedule("3 steps"), range(1, 11), 0.1) == [3, 6, 9]
    assert fired(Schedule("3 steps", first=True), range(7), 0.1) == [0, 3, 6]
    assert fired(Schedule("4 s"), range(1, 13), 0.1) == [4, 8, 12]
    end = Schedule("end")
    assert fired(end, range(1, 11), 0.1) == []
    assert end.due(11, 1.1, 0.1, last=True)
    assert not end.due(11, 1.1, 0.1, last=True)


def test_first_fires_at_the_start():
    assert fired(Schedule("t=0.5", first=True), range(11), 0.1) == [0, 5, 10]


def test_hint_skips_no_event_and_is_rarely_short():
    """The steps between hints never hide an event: a jump by the hint fires where single steps fire."""
    rng = random.Random(4)
    for _ in range(200):
        dt = rng.choice([0.1, 0.01, 1 / 3, rng.uniform(1e-3, 1.0)])
        text = rng.choice(
            [f"t={rng.uniform(0.1, 20) * dt!r}", f"t={rng.randint(1, 19) / 2 * dt!r}", f"{rng.randint(1, 9)} steps"]
        )
        t0 = rng.choice([0.0, 1e6, -3.0])
        single, jumping = Schedule(text, t0), Schedule(text, t0)
        expected = [n for n in range(1, 200) if single.due(n, t0 + n * dt, dt)]
        n, got, asked = 0, [], 0
        while n < 199:
            n += min(jumping.next_step_hint(n, t0 + n * dt, dt), 199 - n)
            asked += 1
            if jumping.due(n, t0 + n * dt, dt):
                got.append(n)
        assert got == expected
        assert asked <= 2 * len(got) + 2


def test_hint_of_other_kinds():
    assert Schedule("end").next_step_hint(0, 0.0, 0.1) == NEVER
    assert Schedule("10 s").next_step_hint(0, 0.0, 0.1) == 1
    assert Schedule("t=1e300").next_step_hint(0, 0.0, 1e-300) == NEVER
    assert Schedule("t=1").next_step_hint(0, 0.0, 0.0) == 1


@pytest.mark.parametrize("text", ["t=0.25", "7 steps", "t=0.1"])
def test_restart_fires_at_the_same_steps(text):
    """A schedule saved at any step and restored by another process goes on as if nothing had happened."""
    whole = fired(Schedule(text), range(1, 60), 0.1)
    for cut in range(0, 59, 3):
        before = Schedule(text)
        head = fired(before, range(1, cut + 1), 0.1)
        state = json.loads(json.dumps(before.state()))
        after = Schedule(text)
        after.restore(state, cut, cut * 0.1, 0.1)
        assert not (cut in head and after.due(cut, cut * 0.1, 0.1))
        assert head + fired(after, range(cut + 1, 60), 0.1) == whole


def test_restart_with_another_interval_counts_on_from_the_restart():
    before = Schedule("2 steps")
    fired(before, range(1, 11), 0.1)
    after = Schedule("t=0.5")
    after.restore(before.state(), 10, 1.0, 0.1)
    assert fired(after, range(11, 26), 0.1) == [15, 20, 25]


def test_asking_twice_at_one_step_fires_once():
    schedule = Schedule("1 step")
    assert schedule.due(1, 0.1, 0.1)
    assert not schedule.due(1, 0.1, 0.1)


def test_events_passed_over_are_not_made_up_for():
    """After large steps, small steps do not fire one by one for the events in between."""
    schedule = Schedule("t=0.25")
    # This step stands for all events up to t + dt/2 = 1.5, so the next one is at 1.75.
    assert schedule.due(1, 1.0, 1.0)
    assert [n for n in range(2, 80) if schedule.due(n, 1.0 + 0.01 * (n - 1), 0.01)] == [76]

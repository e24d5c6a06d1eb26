"""Turns of the run loop: the stride follows the pace, and a wish to stop of one rank is known to all."""

from __future__ import annotations

import math

from hpcsim.comm.context import Context
from hpcsim.simulation.turns import TURN_S, StopSources, Turns


def turn(turns: Turns, steps: int, seconds: float) -> int:
    """Go some steps and meet; the next stride."""
    turns.stepped(steps, seconds)
    turns.meet(1.0)
    return turns.stride


def test_the_first_turn_is_one_step():
    turns = Turns(Context.serial(), StopSources())
    turns.meet(0.0)
    assert turns.stride == 1 and turns.remaining == 1 and not turns.due


def test_stride_grows_to_the_pace_and_not_beyond():
    turns = Turns(Context.serial(), StopSources())
    strides = []
    for _ in range(12):
        strides.append(turn(turns, turns.stride, 0.001 * turns.stride))
    assert strides[:3] == [4, 16, 64] and strides[-1] == int(TURN_S / 0.001)


def test_slow_steps_meet_at_every_step():
    turns = Turns(Context.serial(), StopSources())
    assert turn(turns, 1, 5.0) == 1


def test_turn_is_due_after_its_steps():
    turns = Turns(Context.serial(), StopSources())
    turn(turns, 1, 0.001)
    turns.stepped(3, 0.003)
    assert not turns.due and turns.remaining == 1
    turns.stepped(1, 0.001)
    assert turns.due


def test_agreement_carries_every_source():
    sources = StopSources(signal=lambda: 10, file=lambda: True, seconds_left=lambda: -2.5)
    agreed = Turns(Context.serial(), sources).meet(7.0)
    assert (agreed.signal, agreed.file, agreed.seconds_left, agreed.wall) == (10, True, -2.5, 7.0)


def test_the_next_turn_must_fit_into_the_time_that_is_left():
    """F-16: with steps of 5 s the run stops while there is time for one more, not after."""
    turns = Turns(Context.serial(), StopSources(seconds_left=lambda: 8.0))
    turns.stepped(1, 5.0)
    assert turns.meet(0.0).seconds_left == 3.0


def test_no_limit_is_infinite():
    agreed = Turns(Context.serial(), StopSources()).meet(0.0)
    assert agreed.seconds_left == math.inf and not agreed.file and agreed.signal == 0

"""Timing statistics: order of the runs, ratios round by round."""

from __future__ import annotations

import pytest

from hpcsim.perf.sampling import Spread, enough_calls, interleave, ratio


def test_alternatives_run_in_turn_after_one_uncounted_run() -> None:
    ran = []
    seconds = interleave({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, 3)
    assert "".join(ran) == "ab" * 4
    assert [len(values) for values in seconds.values()] == [3, 3]


def test_a_slow_spell_that_hits_both_leaves_the_ratio() -> None:
    assert ratio([1.0, 10.0, 1.0], [2.0, 20.0, 2.0]) == Spread(0.5, 0.5, 0.5, 0.5)
    with pytest.raises(ValueError):
        ratio([1.0], [1.0, 2.0])


def test_a_sample_has_at_least_one_call() -> None:
    assert enough_calls(lambda: None, 0.0) == 1
    assert enough_calls(lambda: None, 1e-3) > 1

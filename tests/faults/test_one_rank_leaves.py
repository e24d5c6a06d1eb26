"""One rank leaves, all end: within 5 s, with its exit code and one traceback (F-20)."""

from __future__ import annotations

import pytest

from tests.faults.driver import run_ranks

# Kind -> exit code, what the one report must hold.
KINDS = {
    "exception": (70, "ValueError: broken step"),
    "thread": (70, "ValueError: broken step"),
    "memory": (70, "MemoryError"),
    "interrupt": (130, "KeyboardInterrupt"),
    "exit": (9, "sys.exit on one rank"),
    "exit_zero": (70, "sys.exit on one rank"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_error_on_one_rank_ends_all(kind: str) -> None:
    """F-20: the report is printed once and names the rank; nobody finishes."""
    code, text = KINDS[kind]
    outcome = run_ranks(4, "leave", kind, "2")
    assert outcome.code == code, outcome
    assert outcome.seconds <= 5.0, outcome
    assert outcome.err.count("Traceback (most recent call last)") == 1, outcome.err
    assert outcome.err.count("hpcsim: rank 2 of 4") == 1 and text in outcome.err, outcome.err
    assert "finished" not in outcome.out


def test_error_raised_on_purpose_shows_its_message_only() -> None:
    """F-20: an hpcsim error ends all ranks with its own exit code, and without a traceback."""
    outcome = run_ranks(3, "leave", "hpcsim", "1")
    assert outcome.code == 5 and outcome.seconds <= 5.0
    assert "Traceback" not in outcome.err and outcome.err.count("BlowUpError: E is NaN at site (3, 4)") == 1


def test_error_on_all_ranks_is_shown_once() -> None:
    """F-20: ranks that raise together print one traceback."""
    outcome = run_ranks(4, "leave", "exception", "-1")
    assert outcome.code == 70 and outcome.seconds <= 5.0
    assert outcome.err.count("Traceback (most recent call last)") == 1, outcome.err


def test_exit_of_all_ranks_is_no_fault() -> None:
    """``sys.exit`` by all ranks together keeps its code and reports nothing."""
    outcome = run_ranks(3, "leave", "exit", "-1")
    assert outcome.code == 9 and "hpcsim: rank" not in outcome.err


@pytest.mark.parametrize(("kind", "code"), [("os_exit", 11), ("os_exit_zero", None)])
def test_vanished_rank_ends_all(kind: str, code: int | None) -> None:
    """F-20: a rank that leaves by os._exit cannot report, but the job ends and does not look successful."""
    outcome = run_ranks(3, "leave", kind, "1")
    assert outcome.code != 0 and outcome.seconds <= 5.0
    assert code is None or outcome.code == code


def test_failure_before_mpi_starts_ends_all() -> None:
    """F-20: a rank that fails while importing, when the others already wait for it."""
    outcome = run_ranks(3, "leave", "before_mpi", "1", limit_s=20.0)
    assert outcome.code != 0 and "no module named numerics" in outcome.err


def test_error_in_a_finalizer_ends_nothing() -> None:
    """F-20: Python drops what ``__del__`` raises; the run goes on and finishes on all ranks."""
    outcome = run_ranks(3, "leave", "finalizer", "1")
    assert outcome.code == 0 and outcome.out.count("finished") == 3

"""The parallel test harness itself: no test hangs, hides a failure of one rank, or is skipped in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.driver import Outcome, run_python

HEAD = "import os, time, pytest\nRANK = int(os.environ['OMPI_COMM_WORLD_RANK'])\n"


def run_tests(tmp_path: Path, body: str, ranks: int = 2) -> Outcome:
    """Run a test file on ranks, with the hooks of tests/conftest.py and a limit of 3 s a test."""
    path = tmp_path / "test_inner.py"
    path.write_text(HEAD + body)
    arguments = ("-m", "pytest", "-q", "--color=no", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(path))
    limits = {"HPCSIM_TEST_LIMIT_S": "3", "PYTEST_ADDOPTS": ""}
    return run_python(ranks, *arguments, environment=limits)


def test_passing_tests_pass_once(tmp_path: Path) -> None:
    """The verdict of all ranks is shown by one."""
    outcome = run_tests(tmp_path, "def test_sum(context):\n    assert context.max(RANK) == context.size - 1\n", 3)
    assert outcome.code == 0 and outcome.out.count("1 passed") == 1


def test_failure_of_one_rank_fails_all_and_is_shown(tmp_path: Path) -> None:
    """A failure after the last collective of a test is not lost, and the next test runs."""
    outcome = run_tests(
        tmp_path, "def test_one():\n    assert RANK == 0, 'odd'\ndef test_next(context):\n    context.barrier()\n"
    )
    assert outcome.code == 1 and "1 failed, 1 passed" in outcome.out
    assert "--- rank 1 of 2 ---" in outcome.out and "odd" in outcome.out


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    assert RANK == 0, 'before'\n    context.barrier()\n", "failed here"),
        ("    if RANK == 1:\n        context.barrier()\n", "test_it"),
        ("    if RANK == 1:\n        time.sleep(60)\n", "test_it"),
        ("    if RANK == 1:\n        raise KeyboardInterrupt\n", "interrupted"),
    ],
    ids=["fails before a collective", "hangs in a collective", "hangs elsewhere", "interrupted"],
)
def test_rank_that_leaves_others_waiting_ends_the_job(tmp_path: Path, body: str, said: str) -> None:
    """The job ends within the limit and names the test."""
    outcome = run_tests(tmp_path, "def test_it(context):\n" + body)
    assert outcome.code not in (0, 1) and outcome.seconds < 12.0
    assert "parallel harness: rank" in outcome.err and said in outcome.err, outcome.err


def test_skip_is_a_failure(tmp_path: Path) -> None:
    """A test that skips itself would hide; it fails."""
    outcome = run_tests(tmp_path, "def test_it():\n    pytest.skip('no library')\n")
    assert outcome.code == 1 and "1 failed" in outcome.out and "no library" in outcome.out


def test_different_collections_end_the_job(tmp_path: Path) -> None:
    """Ranks that found different tests stop before the first one."""
    outcome = run_tests(tmp_path, "if RANK == 1:\n    def test_more(): pass\ndef test_it(): pass\n")
    assert outcome.code not in (0, 1) and "different tests" in outcome.err


def test_failing_fixture_on_one_rank(tmp_path: Path) -> None:
    """A set-up that fails on one rank stops the test on all before its body."""
    body = "@pytest.fixture\ndef thing():\n    assert RANK == 1\n    return 1\n"
    outcome = run_tests(tmp_path, body + "def test_it(thing, context):\n    context.barrier()\n")
    assert outcome.code == 1 and "1 error" in outcome.out

"""F-16: the time a job has, from the command line, from SLURM's variable, or from its queue."""

from __future__ import annotations

import math
import time

import pytest

from hpcsim.errors import ConfigError
from hpcsim.machine.walltime import parse_walltime, time_limit
from hpcsim.output.queue import left_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60", 60.0),
        ("1.5 h", 5400.0),
        ("90min", 5400.0),
        ("2 d", 172800.0),
        ("00:01:30", 90.0),
        ("1-00:00:00", 86400.0),
    ],
)
def test_walltime_texts(text, seconds):
    assert parse_walltime(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "1:2", "3 weeks", "nan", "1e400", "00:00:00"])
def test_what_is_no_walltime(text):
    with pytest.raises(ConfigError, match="--walltime"):
        parse_walltime(text)


def test_command_line_comes_first():
    left = time_limit(50.0, time.monotonic() - 20.0, {"SLURM_JOB_END_TIME": "1"})
    assert left() == pytest.approx(30.0, abs=1.0)


def test_end_time_of_slurm():
    left = time_limit(None, 0.0, {"SLURM_JOB_END_TIME": str(int(time.time()) + 100)})
    assert left() == pytest.approx(100.0, abs=2.0)


def test_the_queue_is_asked():
    asked = []

    def ask(job):
        asked.append(job)
        return 40.0

    assert time_limit(None, 0.0, {"SLURM_JOB_ID": "17"}, ask)() == pytest.approx(40.0, abs=1.0) and asked == ["17"]


def test_no_limit_known():
    assert time_limit(None, 0.0, {"SLURM_JOB_ID": "17"}, lambda job: None)() == math.inf


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1-02:00:05\n", 93605.0),
        ("2:00:00", 7200.0),
        ("59:30", 3570.0),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_words_of_the_queue(text, seconds):
    assert left_seconds(text) == seconds

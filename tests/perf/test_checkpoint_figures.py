"""Checkpoints beside raw writes, reads and copies of the same bytes in the same minute (PERF-06)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.perf.test_figures import bench

# At least so much of the speed of the raw figure; for the stall: at most so many memory copies.
BOUNDS = {
    "shards to raw write": 0.8,
    "collective to raw write": 0.6,
    "restore to raw read": 0.6,
}
STALL_BOUND = 1.3


def test_the_machinery_on_a_small_state(tmp_path: Path) -> None:
    """PERF-06: every part is measured and nothing is left on the disk; nothing is gated at this size."""
    found = bench("checkpoint", "--gib", "0.02", "--repeats", "2", "--directory", str(tmp_path), limit_s=240.0)
    assert not found["absent"] and set(found["ratios"]) == {
        *BOUNDS, "shards with digests to raw write", "stall to memory copy"
    }  # fmt: skip
    assert all(value["median"] > 0.0 and value["best"] > 0.0 for value in found["ratios"].values())
    assert found["parts"]["shards"]["read-back"]["median"] > 0.0
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return bench("checkpoint", "--gib", "4", "--repeats", "5", "--directory", str(tmp_path_factory.mktemp("large")))


@pytest.mark.nightly
@pytest.mark.parametrize("name", BOUNDS)
def test_checkpoints_keep_up_with_the_disk(large: dict[str, Any], name: str) -> None:
    """PERF-06: 4 GiB on two ranks; digests and read-back are reported apart."""
    assert large["ratios"][name]["best"] >= BOUNDS[name], large["ratios"]


@pytest.mark.nightly
def test_the_steps_wait_for_one_copy(large: dict[str, Any]) -> None:
    """Issue B: the stall of a checkpoint in the background against one copy of the state in memory."""
    assert large["ratios"]["stall to memory copy"]["best"] <= STALL_BOUND, large["ratios"]

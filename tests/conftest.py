"""Fixtures and hooks of all tests; under mpirun the harness joins the ranks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcsim.comm.context import Context
from hpcsim.comm.launch_check import launched

RANK_COUNTS = (1, 2, 3, 4)
_HARNESS = "hpcsim-parallel-harness"


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Under a launcher, join the ranks."""
    if launched(os.environ):
        from tests.harness import Harness, quiet

        harness = Harness(config)
        config.pluginmanager.register(harness, _HARNESS)
        if harness.context.rank:
            quiet(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count as deselected, tests marked for other rank counts; a mark that never runs is an error."""
    harness = config.pluginmanager.getplugin(_HARNESS)
    size = harness.context.size if harness is not None else 1
    kept, others = [], []
    for item in items:
        mark = item.get_closest_marker("parallel")
        ranks = list(mark.args[0]) if mark is not None and mark.args else [size]
        if not set(ranks) & {*RANK_COUNTS, size}:
            raise pytest.UsageError(f"{item.nodeid} asks for {ranks} ranks; tests run on {RANK_COUNTS}")
        (kept if size in ranks else others).append(item)
    if others:
        items[:] = kept
        config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session")
def context() -> Iterator[Context]:
    """All ranks of the test run; one rank without MPI in a plain run."""
    if launched(os.environ):
        from mpi4py import MPI

        made = Context(MPI.COMM_WORLD)
    else:
        made = Context.serial()
    yield made
    made.free()


@pytest.fixture
def shared_tmp_path(context: Context, tmp_path: Path) -> Path:
    """A fresh directory that all ranks see under the same name."""
    return Path(context.bcast_text(str(tmp_path)))

"""Implicit stages are solved by the dense reference, so that these tests are about the schemes alone."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.unit.integrators.dense import DenseSolves


@pytest.fixture(autouse=True)
def dense(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Put the reference in place, unless a test asks for the solvers of the package."""
    if "real_solvers" not in request.fixturenames:
        monkeypatch.setattr(import_module("hpcsim.simulation.build"), "Solves", DenseSolves)


@pytest.fixture
def real_solvers() -> None:
    """Solve as a run does."""

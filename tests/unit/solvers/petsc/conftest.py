"""PETSc for the tests of this folder, checked to be left clean."""

from __future__ import annotations

import pytest

from hpcsim.solvers.petsc.library import Library


@pytest.fixture
def library(context):
    with Library(context) as made:
        before = made.petsc.Options().getAll()
        yield made
        left = set(made.petsc.Options().getAll()) - set(before)
        assert not left, f"options of a solver outlived it: {left}"

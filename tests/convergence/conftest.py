"""Fixtures of the convergence tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from hpcsim.api import Simulation


@pytest.fixture
def start() -> Iterator[Callable[..., Simulation]]:
    """Makes simulations, as the class does, and gives their memory and communicators back after the test."""
    with ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> Simulation:
            return stack.enter_context(Simulation(*arguments, **options))

        yield make

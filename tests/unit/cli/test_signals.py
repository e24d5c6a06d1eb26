"""F-15: signals are noted from the start on; the first one counts and later ones do no harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from hpcsim.cli.signals import CAUGHT, StopSignals


@pytest.fixture
def signals():
    made = StopSignals()
    made.install()
    yield made
    made.restore()


@pytest.mark.parametrize("number", CAUGHT)
def test_a_signal_is_noted_and_ends_nothing(signals, number, capfd):
    os.kill(os.getpid(), number)
    assert signals.number == number and signals.name == signal.Signals(number).name
    assert "stops after this step" in capfd.readouterr().err


def test_the_first_signal_counts(signals, capfd):
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signals.name == "SIGUSR1" and capfd.readouterr().err.count("hpcsim:") == 1


def test_other_ranks_are_silent(signals, capfd, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "3")
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.number == signal.SIGTERM and not capfd.readouterr().err


def test_signals_go_back():
    before = [signal.getsignal(caught) for caught in CAUGHT]
    made = StopSignals()
    made.install()
    assert [signal.getsignal(caught) for caught in CAUGHT] != before
    made.restore()
    assert [signal.getsignal(caught) for caught in CAUGHT] == before


def test_handlers_stand_before_anything_heavy():
    """F-15: when the handlers are installed neither NumPy nor MPI nor the schema has been imported."""
    script = (
        "import sys, hpcsim.cli.signals as s\n"
        "def install(self):\n"
        "    print([name for name in ('numpy', 'mpi4py', 'numba', 'h5py', 'pydantic') if name in sys.modules])\n"
        "    raise SystemExit(0)\n"
        "s.StopSignals.install = install\n"
        "from hpcsim.cli.main import main\n"
        "main(['run', 'case.toml'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done

"""The quick triad: measured once, then read; a damaged file is measured again."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcsim.kernels import bandwidth


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Calls of the sweep, which here moves nothing."""
    calls: list[str] = []
    monkeypatch.setenv("HPCSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(bandwidth, "make_stream", lambda name, count, threads: lambda: calls.append(name))
    return calls


def test_the_triad_is_measured_once_per_host_and_thread_count(sweeps: list[str]) -> None:
    first = bandwidth.triad_bandwidth(1)
    measured = len(sweeps)
    assert first > 0 and measured > 0
    assert bandwidth.triad_bandwidth(1) == first and len(sweeps) == measured
    bandwidth.triad_bandwidth(2)
    assert len(sweeps) == 2 * measured


@pytest.mark.parametrize("text", ["", "{}", '{"triad_bytes_per_second": -1.0}', "[1]"])
def test_a_damaged_figure_is_measured_again(sweeps: list[str], tmp_path: Path, text: str) -> None:
    bandwidth.triad_bandwidth(1)
    before = len(sweeps)
    next(tmp_path.glob("bandwidth-*.json")).write_text(text)
    assert bandwidth.triad_bandwidth(1) > 0
    assert len(sweeps) == 2 * before


def test_streams_do_what_they_are_called() -> None:
    for name in bandwidth.STREAMS:
        bandwidth.make_stream(name, 50, 1, "numpy")()
    with pytest.raises(KeyError):
        bandwidth.STREAMS["scale"]

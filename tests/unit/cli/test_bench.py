"""`hpcsim bench` as people and scripts call it; the figures themselves are gated in tests/perf."""

from __future__ import annotations

import pytest

from hpcsim.cli.main import main
from hpcsim.perf.bench import as_text
from hpcsim.perf.ranks import run_ranks


@pytest.mark.parametrize(
    "arguments",
    [["stencil", "--orders", "3"], ["stencil", "--dtypes", "int8"], ["memory", "--n", "0"], ["disk"]],
)
def test_what_cannot_be_measured_is_refused(arguments, capsys) -> None:
    assert main(["bench", *arguments]) == 2
    assert arguments[-1] in capsys.readouterr().err


def test_reports_without_compiler_or_launcher_can_be_read() -> None:
    row = {"case": "heat", "order": 2, "dtype": "float64", "glups": 1.5, "of_triad": 0.6, "compile_s": 0.2}
    blocks = [{"order": 2, "block": 32, "to_one_block": {"median": 0.9, "low": 0.8, "high": 1.0}}]
    head = {"host": "here", "threads": 1}
    text = as_text({**head, "bench": "stencil", "cases": [row], "blocks": blocks, "ranks": {"missing": "no mpirun"}})
    assert "1.500" in text and "0.90 (0.80-1.00)" in text and "not measured, no mpirun" in text
    assert "no mpirun" in as_text({**head, "bench": "exchange", "missing": "no mpirun"})


def test_a_missing_launcher_is_said(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert run_ranks(["exchange"], 2, 1.0) == "no mpirun on the path"

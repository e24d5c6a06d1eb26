"""hpcsim list: every registry is listed, and an unknown kind names the nearest (users need 15)."""

from __future__ import annotations

import json

import pytest

from hpcsim.cli.list import KINDS
from hpcsim.cli.main import main


def test_without_a_kind_every_name_is_listed(capsys):
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == {kind: KINDS.get(kind).names() for kind in KINDS}
    assert "hilbert" in listed["curves"]


@pytest.mark.parametrize("kind", KINDS.names())
def test_every_entry_has_a_summary(kind, capsys):
    assert main(["list", kind]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line.split()[0] for line in lines] == KINDS.get(kind).names()
    assert all(len(line.split()) > 2 for line in lines)


def test_unknown_kind(capsys):
    assert main(["list", "curvs"]) == 2
    assert "did you mean 'curves'?" in capsys.readouterr().err

"""State items beside the registers: saved whole, given back to their owners, none forgotten silently."""

from __future__ import annotations

import pytest

from hpcsim.errors import HpcsimError
from hpcsim.fields.kept import Kept


def test_items_return_to_their_owners():
    a, b = {"n": 1}, {"x": 0.5}
    kept = Kept()
    kept.add("a", lambda: a, a.update)
    kept.add("b", lambda: b, b.update)
    saved = kept.save()
    a["n"], b["x"] = 7, 7.0
    kept.restore(saved)
    assert (a, b) == ({"n": 1}, {"x": 0.5}) and kept.names() == ["a", "b"]


def test_saved_values_do_not_follow_the_owner():
    a = {"n": 1}
    kept = Kept()
    kept.add("a", lambda: a, a.update)
    saved = kept.save()
    a["n"] = 2
    assert saved == {"a": {"n": 1}}


def test_one_item_alone():
    a, b = {"n": 1}, {"n": 1}
    kept = Kept()
    kept.add("a", lambda: a, a.update)
    kept.add("b", lambda: b, b.update)
    kept.restore({"a": {"n": 5}}, ["a"])
    assert (a["n"], b["n"]) == (5, 1)


def test_missing_item_is_an_error():
    kept = Kept()
    kept.add("a", dict, lambda saved: None)
    with pytest.raises(HpcsimError, match="no state item 'a'"):
        kept.restore({"b": {}})


def test_a_name_is_given_once():
    kept = Kept()
    kept.add("a", dict, lambda saved: None)
    with pytest.raises(HpcsimError, match="registered twice"):
        kept.add("a", dict, lambda saved: None)

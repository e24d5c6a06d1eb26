"""The configuration: a strict schema, read from TOML, checked whole, with all faults reported at once."""

from __future__ import annotations

from hpcsim.config.load import from_mapping, load
from hpcsim.config.schema import Config

__all__ = ["Config", "from_mapping", "load"]

"""hpcsim: lattice and PDE models written as equations, run on a laptop or a cluster.

Importing the package loads nothing but this file; each public name is loaded from its module when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> "module:attribute"; a new public name is one line here and, for type checkers, one below.
PUBLIC = {
    "Config": "hpcsim.config.schema:Config",
    "Lattice": "hpcsim.api:Lattice",
    "Model": "hpcsim.api:Model",
    "Simulation": "hpcsim.api:Simulation",
    "load": "hpcsim.api:load",
    "open": "hpcsim.api:open",
}

__all__ = ["__version__", *PUBLIC]

if TYPE_CHECKING:
    from hpcsim.api import Lattice as Lattice
    from hpcsim.api import Model as Model
    from hpcsim.api import Simulation as Simulation
    from hpcsim.api import load as load
    from hpcsim.api import open as open
    from hpcsim.config.schema import Config as Config


def __getattr__(name: str) -> Any:
    """Load a public name on first use and keep it, so that the second use costs nothing."""
    from importlib import import_module

    if name not in PUBLIC:
        raise AttributeError(f"module 'hpcsim' has no attribute '{name}'; public names: {', '.join(sorted(PUBLIC))}")
    module, attribute = PUBLIC[name].split(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})

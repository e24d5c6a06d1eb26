"""Kinds of initial conditions: one file each, one line here."""

from __future__ import annotations

from hpcsim.registry import Registry

# Kind -> InitialKind: called with (table, where, InitialSetting) it gives an InitialCondition.
INITIAL = Registry(
    "initial condition",
    {
        "expression": "hpcsim.models.initials.expression:expression",
        "file": "hpcsim.models.initials.file:file",
        "gaussian": "hpcsim.models.initials.gaussian:gaussian",
        "packet": "hpcsim.models.initials.packet:packet",
        "plane_wave": "hpcsim.models.initials.plane_wave:plane_wave",
        "random": "hpcsim.models.initials.random:random",
    },
)

"""Boundary conditions: one file each, a table of names, and the tables that fill ghosts outside the domain."""

from __future__ import annotations

from hpcsim.registry import Registry

BOUNDARIES = Registry(
    "boundary condition",
    {
        "dirichlet": "hpcsim.boundary.dirichlet:Dirichlet",
        "neumann": "hpcsim.boundary.neumann:Neumann",
        "outflow": "hpcsim.boundary.outflow:Outflow",
        "periodic": "hpcsim.boundary.periodic:Periodic",
        "reflecting": "hpcsim.boundary.reflecting:Reflecting",
        "robin": "hpcsim.boundary.robin:Robin",
        "sponge": "hpcsim.boundary.sponge:Sponge",
    },
)

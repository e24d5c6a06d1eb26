"""Time integration: schemes as stages of fused kernels, and the table of them."""

from __future__ import annotations

from hpcsim.registry import Registry

INTEGRATORS = Registry(
    "integrator",
    {
        "leapfrog": "hpcsim.integrators.leapfrog:leapfrog",
        "kick_drift_kick": "hpcsim.integrators.leapfrog:kick_drift_kick",
        "euler": "hpcsim.integrators.explicit:euler",
        "ssprk3": "hpcsim.integrators.explicit:ssprk3",
        "rk4": "hpcsim.integrators.explicit:rk4",
        "lsrk54": "hpcsim.integrators.explicit:lsrk54",
        "bs32": "hpcsim.integrators.explicit:bs32",
        "backward_euler": "hpcsim.integrators.implicit:backward_euler",
        "crank_nicolson": "hpcsim.integrators.implicit:crank_nicolson",
        "bdf2": "hpcsim.integrators.implicit:bdf2",
        "implicit_midpoint": "hpcsim.integrators.implicit:implicit_midpoint",
        "imex_ark3": "hpcsim.integrators.imex:imex_ark3",
        "exponential_modes": "hpcsim.integrators.spectral:exponential_modes",
        "petsc_ts": "hpcsim.integrators.petsc_ts:petsc_ts",
        "exponential_euler": "hpcsim.integrators.exponential:exponential_euler",
    },
)

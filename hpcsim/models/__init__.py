"""Models: equations by name. One file per model, one line here; listing the names imports none of them."""

from __future__ import annotations

from hpcsim.registry import Registry

# Name -> ModelBuilder: called with (ndim, parameters) it gives a Model, its PARAMETERS say what may be given.
MODELS = Registry(
    "model",
    {
        "advection": "hpcsim.models.advection:advection",
        "diffusion": "hpcsim.models.diffusion:diffusion",
        "entanglement_density": "hpcsim.models.entanglement_density:entanglement_density",
        "entanglement_tensor": "hpcsim.models.entanglement_tensor:entanglement_tensor",
        "equations": "hpcsim.models.equations:equations",
        "heat": "hpcsim.models.heat:heat",
        "klein_gordon": "hpcsim.models.klein_gordon:klein_gordon",
        "poisson": "hpcsim.models.poisson:poisson",
    },
)

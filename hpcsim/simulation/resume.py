"""Going on from a checkpoint: the newest good one fills the registers and the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from hpcsim.config.load import load_text
from hpcsim.config.schema import Config
from hpcsim.lattice.layout import Block
from hpcsim.output.checkpoint.load import restore
from hpcsim.output.checkpoint.manifest import Manifest
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.simulation.build import Simulation
from hpcsim.simulation.changes import check_changes


class Resume:
    """Restores a simulation; handed to `hpcsim.simulation.build.assemble`.

    Parameters
    ----------
    store : CheckpointStore
        Where the checkpoints are.
    names : sequence of str
        Checkpoints to try, best first.
    config : Config
        Configuration of the run that goes on.
    say : callable
        Gets a line for every checkpoint that is not good.

    Attributes
    ----------
    manifest : Manifest
        What the checkpoint says of itself, once it is restored.
    changes : list of str
        Lines that tell what is configured differently from the checkpoint.
    """

    manifest: Manifest

    def __init__(
        self, store: CheckpointStore, names: Sequence[str], config: Config, say: Callable[[str], None]
    ) -> None:
        self._store, self._names, self._config, self._say = store, tuple(names), config, say
        self.changes: list[str] = []

    def __call__(self, simulation: Simulation) -> None:
        """Fill the registers and set the clock; collective.

        Raises
        ------
        NoCheckpointError
            If none of the checkpoints is good.
        ConfigError
            If something is configured differently that may not change.
        """
        state = simulation.state
        specs = {name: state[name].spec for name in simulation.saved_registers()}

        def target(name: str, block: Block) -> list[NDArray[Any]]:
            return [state.interior(name, block, component) for component in range(specs[name].components)]

        self.manifest = restore(
            simulation.context, self._store, self._names, simulation.layout, specs, target, self._say
        )
        before = load_text(self.manifest.config, f"the configuration in {self.name}", self._config.directory)
        self.changes = check_changes(before.to_mapping(), self._config.to_mapping(), self.name)
        simulation.kept.restore(self.manifest.state, ["clock"])

    @property
    def name(self) -> str:
        """Name of the checkpoint."""
        return self.manifest.name

    @property
    def step(self) -> int:
        """Step of the checkpoint."""
        return self.manifest.step

    @property
    def snapshots_through(self) -> int:
        """Last step whose snapshot the run that goes on keeps."""
        return int(self.manifest.state["outputs"]["through"]["snapshots"])

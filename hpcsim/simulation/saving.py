"""From the section ``[checkpoint]`` to the options of the checkpoint writer."""

from __future__ import annotations

from hpcsim.config.schema import Config
from hpcsim.errors import ConfigError, Problem
from hpcsim.output.checkpoint.options import CheckpointOptions, load_codec

COLLECTIVE = "collective"


def saving_options(config: Config, protect: frozenset[str] = frozenset()) -> CheckpointOptions:
    """How the checkpoints of a run are written.

    Parameters
    ----------
    config : Config
        The configuration.
    protect : frozenset of str
        Checkpoints that stay until newer ones are good.

    Raises
    ------
    ConfigError
        If a mode or codec is unknown or cannot be used, or keys exclude each other; every fault is listed.
    """
    section = config.checkpoint
    faults: list[Problem] = []
    if section.mode == COLLECTIVE and section.background == "on":
        faults.append(
            Problem("checkpoint.background", "'on' needs mode 'shards': the ranks write one file together, not beside")
        )
    if section.mode == COLLECTIVE and section.writers_per_node:
        faults.append(Problem("checkpoint.writers_per_node", "is for mode 'shards'; 'collective' writes one file"))
    try:
        load_codec(section.codec)
    except ConfigError as error:
        faults += [Problem(problem.where or "checkpoint.codec", problem.message) for problem in error.problems]
    try:
        options = CheckpointOptions(
            mode=section.mode,
            writers_per_node=section.writers_per_node,
            codec=section.codec,
            keep=section.keep,
            read_back=section.read_back,
            incremental=section.incremental,
            full_every=section.full_every,
            protect=protect,
        )
    except ConfigError as error:
        raise ConfigError([*faults, *error.problems]) from None
    if faults:
        raise ConfigError(faults)
    return options

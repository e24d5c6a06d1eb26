"""What a caller may choose about checkpoints, and what he tells the writer about his run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.output.checkpoint.modes import MODES

NO_CODEC = "none"


@dataclass(frozen=True)
class CheckpointOptions:
    """How checkpoints are written.

    Parameters
    ----------
    mode : str
        Name in `MODES`, or ``auto``, which is ``shards``.
    writers_per_node : int
        Files per node in mode ``shards``; 0 gives every rank its own.
    codec : str
        ``none``, or a lossless codec by its name in `CODECS`.
    keep : int
        Checkpoints to keep, at least 2.
    read_back : bool
        Whether every piece is read back from the disk and compared; mode ``collective`` always does.
    incremental : bool
        Whether pieces that did not change refer to the checkpoint that has them.
    full_every : int
        With `incremental`, every so many checkpoints one holds everything itself.
    protect : frozenset of str
        Checkpoints that this run started from; they stay until newer ones were verified.

    Raises
    ------
    ConfigError
        If a value cannot be; every fault is listed.
    """

    mode: str = "auto"
    writers_per_node: int = 0
    codec: str = NO_CODEC
    keep: int = 2
    read_back: bool = True
    incremental: bool = False
    full_every: int = 10
    protect: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        faults = []
        if self.mode != "auto" and self.mode not in MODES:
            faults.append(
                Problem("checkpoint.mode", unknown_name("checkpoint mode", self.mode, [*MODES.names(), "auto"]))
            )
        for name, least in (("writers_per_node", 0), ("keep", 2), ("full_every", 1)):
            value = getattr(self, name)
            if value < least:
                faults.append(Problem(f"checkpoint.{name}", f"{value} given; at least {least} is needed"))
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class CheckpointFacts:
    """What every manifest of a run says about it.

    Attributes
    ----------
    run : str
        Run id, a plain name.
    config : str
        Resolved TOML text.
    config_digest : str
        Its digest.
    versions : mapping of str to str
        Versions of what the run uses.
    """

    run: str
    config: str = ""
    config_digest: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def load_codec(name: str) -> Any:
    """The codec of the pieces, None for plain values.

    Raises
    ------
    ConfigError
        If the codec is unknown, cannot be loaded, or does not keep every bit.
    """
    if name == NO_CODEC:
        return None
    from hpcsim.output.compress.codec import get_codec

    codec = get_codec(name)
    if not codec.lossless:
        raise ConfigError(
            [Problem("checkpoint.codec", f"'{name}' does not keep every bit; checkpoints need a lossless codec")]
        )
    return codec

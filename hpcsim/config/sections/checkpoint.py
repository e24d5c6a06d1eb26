"""Section ``[checkpoint]``: when the whole state is saved, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpcsim.config.values import Flag, Integer, Name, Section, When, key

MOST_KEPT = 10_000


class Checkpoint(Section):
    """Saved states from which a run goes on, bit by bit as if it had never stopped."""

    enabled: Flag = key(True, "Whether checkpoints are written; without them a stopped run starts again from zero.")
    every: When = key("30 min", "When: '100 steps', 't=0.5', '30 min' or 'end'.")
    at_end: Flag = key(True, "Whether the state at the end is saved, so that the run can be extended.")
    keep: Annotated[Integer, Field(ge=2, le=MOST_KEPT)] = key(
        2, "Newest checkpoints that stay; older ones that they refer to stay too."
    )
    mode: Name = key("auto", "How the data are laid out, as in `hpcsim list checkpoints`; auto is shards.")
    writers_per_node: Annotated[Integer, Field(ge=0, le=4096)] = key(
        0, "Files that each node writes in the mode shards; 0 for one a rank."
    )
    background: Literal["auto", "on", "off"] = key(
        "auto",
        "Whether a thread writes a copy of the state while the run goes on; auto does where the copy fits into memory.",
    )
    incremental: Flag = key(False, "Write only the blocks that changed since the last accepted checkpoint.")
    full_every: Annotated[Integer, Field(ge=1, le=MOST_KEPT)] = key(
        10, "With incremental: every so many checkpoints one is written in full."
    )
    codec: Name = key("none", "Lossless compression of the data, as in `hpcsim list codecs`.")
    read_back: Flag = key(True, "Read what was written and compare it; the mode collective always does.")
    on_failure: Literal["continue", "stop"] = key(
        "continue", "What to do when a checkpoint cannot be written: go on with the older one, or end with code 6."
    )

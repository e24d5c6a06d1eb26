"""One data file per group of ranks of a node, filled by plain writes at known places."""

from __future__ import annotations

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.modes import Groups, Target
from hpcsim.output.checkpoint.pieces import MAX_PIECE_BYTES


class Shards:
    """One file per writer; each rank writes its own pieces, also from a thread."""

    name = "shards"
    background = True
    trusted = True
    # No more than the longest piece: what was packed is still in the cache when it is hashed and written.
    staging_bytes = MAX_PIECE_BYTES

    def check(self, context: Context) -> None:
        """Nothing is needed."""

    def groups(self, context: Context, writers_per_node: int) -> Groups:
        writers = min(writers_per_node, context.node_size) or context.node_size
        group = context.node_rank * writers // context.node_size
        # The first rank of the node that falls into the same group.
        leader = context.node_ranks[-(-group * context.node_size // writers)]
        all_leaders = np.zeros(context.size, np.int64)
        context.comm.Allgather(np.array([leader], np.int64), all_leaders)
        leaders, number = np.unique(all_leaders, return_inverse=True)
        return Groups(number, leaders, tuple(f"shard-{place:05d}.h5" for place in range(len(leaders))))

    def fill(self, target: Target) -> None:
        # A leader comes here without pieces of its own too: the frame that it wrote must become durable.
        if target.path is None or not (target.leader or target.packing.fresh.any()):
            return
        fill_plainly(target)


def fill_plainly(target: Target) -> None:
    """Write the pieces of a rank into its file and make them durable.

    The disk is set to work after every batch, so that little is left to wait for in the end.

    Raises
    ------
    OSError
        As the calls do.
    """
    assert target.path is not None
    packing = target.packing
    handle = io.open_write(target.path)
    try:
        for batch in packing.batches(len(target.staging)):
            data = packing.load(batch, target.staging)
            with packing.timers.region("write"):
                offset = int(packing.rows["offset"][batch[0]])
                io.pwrite(handle, data, offset)
                io.start_writeback(handle, offset, len(data))
        with packing.timers.region("sync"):
            io.fsync(handle)
    finally:
        io.close(handle)

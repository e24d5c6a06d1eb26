"""The table of output formats: a new snapshot or series format is one file and one line here."""

from __future__ import annotations

from hpcsim.registry import Registry

SNAPSHOTS = Registry(
    "snapshot format",
    {
        "vtkhdf": "hpcsim.output.snapshot:write_snapshot",
        "packed": "hpcsim.output.packed:write_packed",
    },
)

HISTORIES = Registry(
    "series format",
    {
        "csv": "hpcsim.output.history_csv:CsvHistory",
        "hdf5": "hpcsim.output.history_hdf5:HdfHistory",
    },
)

"""Initial values from files: only the box that is asked for is read, and nothing outside the case is reached."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import component_locations, owned_extent
from hpcsim.models.initial import InitialCondition, resolve_initial

DOMAIN = Domain((6, 5), (0.0, 0.0), (1.0, 1.0), (True, False))
VALUES = np.arange(30.0).reshape(6, 5) / 7


def start(directory: Path, spec: Any, centring: str = "cell", components: int = 1) -> InitialCondition:
    table = {"kind": "file", **spec} if isinstance(spec, dict) else spec
    locations = component_locations(centring, 2, components)
    return resolve_initial(table, "initial.E", DOMAIN, locations, field="E", directory=directory)


def write(directory: Path, values: Any, name: str = "start.h5", dataset: str = "run/E", **options: Any) -> str:
    with h5py.File(directory / name, "w") as handle:
        handle.create_dataset(dataset, data=values, **options)
    return f"{name}:/{dataset}"


def refusal(directory: Path, spec: Any, **options: Any) -> str:
    with pytest.raises(ConfigError) as error:
        start(directory, spec, **options)
    assert all(problem.where.startswith("initial.E") for problem in error.value.problems)
    return str(error.value)


@pytest.mark.parametrize("dtype", ["float64", "float32", ">f8", "int16"])
@pytest.mark.parametrize("chunked", [False, True])
def test_hdf5_by_boxes(tmp_path: Path, dtype: str, chunked: bool) -> None:
    stored = (7 * VALUES).astype(dtype)
    path = write(tmp_path, stored, **({"chunks": (4, 2), "compression": "gzip"} if chunked else {}))
    condition = start(tmp_path, {"path": path})
    for lo, hi in [((0, 0), (6, 5)), ((2, 1), (5, 4)), ((5, 4), (6, 5))]:
        part = condition.values(DOMAIN, lo, hi, (0, 0))
        assert part.dtype == np.float64
        np.testing.assert_array_equal(part, stored[lo[0] : hi[0], lo[1] : hi[1]])


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_by_boxes(tmp_path: Path, order: str) -> None:
    np.save(tmp_path / "start.npy", np.asarray(VALUES, order=order))
    part = start(tmp_path, {"path": "start.npy"}).values(DOMAIN, (1, 2), (4, 5), (0, 0))
    np.testing.assert_array_equal(part, VALUES[1:4, 2:5])
    assert part.flags.writeable
    assert part.flags.owndata


def test_only_the_box_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rank reads its hyperslab, never the whole dataset."""
    asked = []
    original = h5py.Dataset.__getitem__

    def watching(self: Any, part: Any, **options: Any) -> Any:
        asked.append(part)
        return original(self, part, **options)

    condition = start(tmp_path, {"path": write(tmp_path, VALUES)})
    monkeypatch.setattr(h5py.Dataset, "__getitem__", watching)
    condition.values(DOMAIN, (2, 1), (3, 4), (0, 0))
    assert asked == [(slice(2, 3), slice(1, 4))]


def test_dataset_key_and_default_name(tmp_path: Path) -> None:
    write(tmp_path, VALUES, dataset="E")
    for spec in ({"path": "start.h5"}, {"path": "start.h5", "dataset": "/E"}, {"path": "start.h5:/E"}):
        np.testing.assert_array_equal(start(tmp_path, spec).values(DOMAIN, (0, 0), (6, 5), (0, 0)), VALUES)


def test_components(tmp_path: Path) -> None:
    """A leading axis for the components; where they have different numbers of sites, one file each."""
    two = np.stack([VALUES, -VALUES])
    condition = start(tmp_path, {"path": write(tmp_path, two)}, components=2)
    np.testing.assert_array_equal(condition.values(DOMAIN, (0, 0), (6, 5), (0, 0), 1), -VALUES)
    text = refusal(tmp_path, {"path": "start.h5:/run/E"}, centring="face", components=2)
    assert "one file per component" in text
    tall = np.arange(36.0).reshape(6, 6)
    np.save(tmp_path / "tall.npy", tall)
    np.save(tmp_path / "flat.npy", VALUES)
    table = [{"kind": "file", "path": "flat.npy"}, {"kind": "file", "path": "tall.npy"}]
    condition = start(tmp_path, table, centring="face", components=2)
    extent = owned_extent(DOMAIN, (0, 1))
    np.testing.assert_array_equal(condition.values(DOMAIN, (0, 0), extent, (0, 1), 1), tall)


def test_shape_and_type_are_checked_against_the_lattice(tmp_path: Path) -> None:
    assert "the shape is (5, 6); the lattice needs (6, 5) (the axes are" in refusal(
        tmp_path, {"path": write(tmp_path, VALUES.T)}
    )
    assert "the shape is (6, 4)" in refusal(tmp_path, {"path": write(tmp_path, VALUES[:, :4])})
    assert "complex128" in refusal(tmp_path, {"path": write(tmp_path, VALUES + 0j)})
    assert "bool" in refusal(tmp_path, {"path": write(tmp_path, VALUES > 1)})


def test_nan_in_a_file_is_reported_with_its_place(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[3, 2] = np.nan
    condition = start(tmp_path, {"path": write(tmp_path, values)})
    with pytest.raises(ConfigError, match="nan at x = 0.583333, y = 0.5"):
        condition.values(DOMAIN, (2, 2), (6, 5), (0, 0))


@pytest.mark.parametrize("name", ["../out.npy", "sub/../../out.npy", "link.npy", "up/out.npy", "\0.npy", "sub.npy"])
def test_paths_stay_inside_the_case(tmp_path: Path, name: str) -> None:
    """F-33: parent directories, absolute paths, links, NUL and things that are no files are refused."""
    case = tmp_path / "case"
    (case / "sub.npy").mkdir(parents=True)
    (case / "sub").mkdir()
    np.save(tmp_path / "out.npy", VALUES)
    (case / "link.npy").symlink_to(tmp_path / "out.npy")
    (case / "up").symlink_to(tmp_path)
    allowed = ("leads outside", "no file name", "not a regular file")
    assert any(text in refusal(case, {"path": name}) for text in allowed)


def test_absolute_paths_and_devices(tmp_path: Path) -> None:
    """F-33: also a path that would be inside, and a pipe that would block the reader."""
    np.save(tmp_path / "in.npy", VALUES)
    assert "absolute path" in refusal(tmp_path, {"path": str(tmp_path / "in.npy")})
    os.mkfifo(tmp_path / "pipe.npy")
    assert "not a regular file" in refusal(tmp_path, {"path": "pipe.npy"})
    (tmp_path / "inner.npy").symlink_to(tmp_path / "in.npy")
    start(tmp_path, {"path": "inner.npy"})


def test_hdf5_that_leads_to_other_files(tmp_path: Path) -> None:
    """F-37: external links, soft links, virtual and external storage never reach another file."""
    case = tmp_path / "case"
    case.mkdir()
    write(tmp_path, VALUES, "secret.h5", "E")
    (tmp_path / "raw").write_bytes(VALUES.tobytes())
    layout = h5py.VirtualLayout((6, 5), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "E", (6, 5))
    with h5py.File(case / "start.h5", "w") as handle:
        handle["link"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/E")
        handle["dir"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/")
        handle["soft"] = h5py.SoftLink("/link")
        handle["missing"] = h5py.ExternalLink("/nowhere.h5", "/E")
        handle.create_virtual_dataset("virtual", layout)
        handle.create_dataset("raw", (6, 5), "f8", external=[(str(tmp_path / "raw"), 0, VALUES.nbytes)])
    for dataset in ("link", "dir/E", "soft", "missing"):
        assert "is a link" in refusal(case, {"path": "start.h5", "dataset": dataset})
    for dataset in ("virtual", "raw"):
        assert "lie in other files" in refusal(case, {"path": "start.h5", "dataset": dataset})


def test_a_dataset_that_declares_more_than_it_holds(tmp_path: Path) -> None:
    """F-37: a dataset whose storage was never written would read as zeros."""
    with h5py.File(tmp_path / "start.h5", "w") as handle:
        handle.create_dataset("E", (6, 5), "f8")
    assert "more values than it holds" in refusal(tmp_path, {"path": "start.h5"})


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    assert "no file 'none.npy'" in refusal(tmp_path, {"path": "none.npy"})
    for name in ("bad.h5", "bad.npy"):
        (tmp_path / name).write_bytes(b"\x93NUMPY\x01\x00junk")
        assert "not a readable" in refusal(tmp_path, {"path": name})
    np.save(tmp_path / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
    assert "not a readable .npy file" in refusal(tmp_path, {"path": "objects.npy"})
    write(tmp_path, VALUES)
    assert "there are: run" in refusal(tmp_path, {"path": "start.h5:/E"})
    assert "is a group, not a dataset; it has: E" in refusal(tmp_path, {"path": "start.h5:/run"})


def test_a_file_is_never_unpickled(tmp_path: Path) -> None:
    """F-34: bytes that would run code on loading are refused unread."""
    mark = tmp_path / "executed"
    (tmp_path / "start.npy").write_bytes(f"cos\nmkdir\n(S'{mark}'\ntR.".encode())
    assert "not a readable .npy file" in refusal(tmp_path, {"path": "start.npy"})
    assert not mark.exists()


def test_keys_of_the_table(tmp_path: Path) -> None:
    assert "initial.E.path: this key is needed" in refusal(tmp_path, {})
    assert "allowed: .h5, .hdf5, .npy" in refusal(tmp_path, {"path": "start.npz"})
    assert "a .npy file has no datasets" in refusal(tmp_path, {"path": "start.npy:/E"})
    assert "keep one" in refusal(tmp_path, {"path": "start.h5:/E", "dataset": "E"})
    assert "did you mean 'dataset'" in refusal(tmp_path, {"path": "start.h5", "datset": "E"})

"""The same-answer ladder across restarts: ERS, IRT, ERR, ERP, ERIO, LAY, NAN, and faults it must notice.

A run that was saved, ended and restored must have the bits of one that was never interrupted: step size, time,
quantities and every register that carries state.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping
from hpcsim.errors import ConfigError
from hpcsim.fields.kept import Kept
from hpcsim.fields.state import Register
from hpcsim.output.checkpoint.options import CheckpointOptions
from hpcsim.simulation.build import Simulation
from hpcsim.simulation.checkpoint import best_config, candidates, restored, save
from tests.ladder.cases import CASES, answer, case, outcome, simulate

QUICK = [name for name in CASES if name != "maxwell"]
BLOCKS = {
    "waves": [3, 10, 9], "reaction": [5, 5], "maxwell": [4, 2, 7], "staggered": [4, 5], "four": [4, 3, 5, 4],
    "adaptive": [5],
}  # fmt: skip


@functools.cache
def uninterrupted(context: Context, name: str, steps: int) -> dict[str, Any]:
    """Answer of one process that was never stopped, on all ranks."""
    text = ""
    if context.rank == 0:
        try:
            with Context.serial() as alone:
                text = json.dumps(answer(case(name, run__steps=steps), alone))
        except Exception as error:
            text = json.dumps({"failed": repr(error)})
    found: dict[str, Any] = json.loads(context.bcast_text(text))
    assert "failed" not in found, found
    return found


def run_and_save(context: Context, sections: dict[str, Any], steps: int, directory: Path, **options: Any) -> None:
    """The first part of a run."""
    with simulate(sections, context) as simulation:
        simulation.run(steps=steps)
        save(simulation, directory, CheckpointOptions(**options))


def go_on(
    context: Context, directory: Path, until: int, source: str | None = None, overrides: tuple[str, ...] = ()
) -> Simulation:
    """The next part of a run, from a checkpoint."""
    names, _ = candidates(directory, source)
    simulation = restored(directory, context, names, best_config(directory, names, overrides))
    return simulation.run(steps=until - simulation.step)


@contextmanager
def fewer_ranks(context: Context, count: int) -> Iterator[Context | None]:
    """A context of the first ranks; None on the others, which wait at the end."""
    if context.size == 1:
        yield context
        return
    part = context.comm.Split(0 if context.rank < count else 1, context.rank)
    smaller = Context(part)
    yield smaller if context.rank < count else None
    smaller.free()
    part.Free()
    context.barrier()


@pytest.mark.parametrize("name", CASES)
def test_half_and_half(context: Context, name: str, shared_tmp_path: Path) -> None:
    """ERS, ENG-12, ENG-01: half of the steps, a restart, the other half."""
    steps = CASES[name]["run"]["steps"]
    run_and_save(context, case(name), steps // 2, shared_tmp_path)
    with go_on(context, shared_tmp_path, steps) as simulation:
        assert outcome(simulation) == uninterrupted(context, name, steps)


@pytest.mark.parametrize("name", QUICK)
def test_five_restarts_at_prime_steps(context: Context, name: str, shared_tmp_path: Path) -> None:
    """ERR: saved after 2, 3, 5, 7 and 11 steps, each time restored, up to 13."""
    run_and_save(context, case(name, run__steps=13), 2, shared_tmp_path)
    for prime in (3, 5, 7, 11):
        with go_on(context, shared_tmp_path, prime) as simulation:
            save(simulation, shared_tmp_path)
    with go_on(context, shared_tmp_path, 13) as simulation:
        assert outcome(simulation) == uninterrupted(context, name, 13)


@pytest.mark.parametrize("name", QUICK)
def test_from_an_interim_checkpoint(context: Context, name: str, shared_tmp_path: Path) -> None:
    """IRT: the run went further than the checkpoint that is taken."""
    with simulate(case(name, run__steps=9), context) as simulation:
        for _ in range(3):
            simulation.run(steps=3)
            save(simulation, shared_tmp_path, CheckpointOptions(keep=3))
    with go_on(context, shared_tmp_path, 9, source="step-00000003") as simulation:
        assert outcome(simulation) == uninterrupted(context, name, 9)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", QUICK)
def test_on_another_number_of_ranks(context: Context, name: str, count: int, shared_tmp_path: Path) -> None:
    """ERP: fewer ranks, then all of them again."""
    if count >= context.size:
        count = 1
    run_and_save(context, case(name, run__steps=9), 3, shared_tmp_path)
    with fewer_ranks(context, count) as fewer:
        if fewer is not None:
            with go_on(fewer, shared_tmp_path, 6) as simulation:
                save(simulation, shared_tmp_path)
    with go_on(context, shared_tmp_path, 9) as simulation:
        assert outcome(simulation) == uninterrupted(context, name, 9)


@pytest.mark.parametrize("curve", ["hilbert", "morton"])
@pytest.mark.parametrize("name", CASES)
def test_on_other_blocks(context: Context, name: str, curve: str, shared_tmp_path: Path) -> None:
    """LAY, NAN: other blocks on another curve, dealt out differently, in memory full of NaN."""
    steps = CASES[name]["run"]["steps"]
    run_and_save(context, case(name, run__fresh_memory="nan"), steps // 2, shared_tmp_path)
    overrides = (f"lattice.block_shape={BLOCKS[name]}", f"lattice.curve={curve}", "lattice.partition=round_robin")
    with go_on(context, shared_tmp_path, steps, overrides=overrides) as simulation:
        assert outcome(simulation) == uninterrupted(context, name, steps)


WAYS = [
    {"mode": "shards", "writers_per_node": 1},
    {"mode": "shards", "writers_per_node": 2},
    {"mode": "collective"},
    {"mode": "shards", "codec": "zstd"},
    {"mode": "shards", "incremental": True},
]


@pytest.mark.parametrize("name", ["waves", "staggered", "adaptive"])
def test_every_layout_of_files(context: Context, name: str, shared_tmp_path: Path) -> None:
    """ERIO: one file a rank, one or two a node, one for all, compressed, incremental, each restored in turn."""
    steps = len(WAYS) + 2
    run_and_save(context, case(name, run__steps=steps), 1, shared_tmp_path)
    for number, way in enumerate(WAYS):
        with go_on(context, shared_tmp_path, number + 2) as simulation:
            save(simulation, shared_tmp_path, CheckpointOptions(**way))
    with go_on(context, shared_tmp_path, steps) as simulation:
        assert outcome(simulation) == uninterrupted(context, name, steps)


def test_other_threads_and_exchange(context: Context, shared_tmp_path: Path) -> None:
    """PET, PEM: the restart may use another backend and another way to exchange ghosts."""
    run_and_save(context, case("waves"), 4, shared_tmp_path)
    overrides = ("run.backend=numpy", "run.exchange=blocking")
    with go_on(context, shared_tmp_path, 10, overrides=overrides) as simulation:
        assert outcome(simulation) == uninterrupted(context, "waves", 10)


def test_changed_physics_is_refused(context: Context, shared_tmp_path: Path) -> None:
    """F-12: another parameter is no restart; nothing is written."""
    run_and_save(context, case("waves"), 4, shared_tmp_path)
    before = sorted(path.name for path in shared_tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=r"run\.cfl.*may not change"):
        go_on(context, shared_tmp_path, 10, overrides=("run.cfl=0.5",))
    assert sorted(path.name for path in shared_tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["waves", "reaction", "staggered"])
def test_a_lost_register_is_noticed(
    context: Context, name: str, shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TEST-OF-TEST: a level that is not saved changes the answer, or the restart is refused."""
    steps = CASES[name]["run"]["steps"]
    carried = {"waves": "E@prev", "reaction": "v", "staggered": "B"}[name]
    init = Register.__init__

    def forgetful(self: Register, *arguments: Any) -> None:
        init(self, *arguments)
        self.saved = self.saved and self.name != carried

    monkeypatch.setattr(Register, "__init__", forgetful)
    run_and_save(context, case(name), steps // 2, shared_tmp_path)
    with go_on(context, shared_tmp_path, steps) as simulation:
        for register in simulation.state:
            register.saved = register.saved or register.name == carried
        assert outcome(simulation)["digests"] != uninterrupted(context, name, steps)["digests"]


@pytest.mark.parametrize("item", ["dt", "time", "step"])
def test_a_lost_item_is_noticed(
    context: Context, item: str, shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TEST-OF-TEST: each number of the clock matters to the adaptive case."""
    save_all = Kept.save

    def forgetful(self: Kept) -> dict[str, Any]:
        saved = save_all(self)
        saved["clock"][item] *= 2
        return saved

    monkeypatch.setattr(Kept, "save", forgetful)
    run_and_save(context, case("adaptive"), 6, shared_tmp_path)
    with go_on(context, shared_tmp_path, 18 if item == "step" else 12) as simulation:
        assert outcome(simulation) != uninterrupted(context, "adaptive", 12)


def test_the_configuration_travels(context: Context, shared_tmp_path: Path) -> None:
    """The configuration in a checkpoint is the one of the run, with all defaults."""
    run_and_save(context, case("waves"), 4, shared_tmp_path)
    names, _ = candidates(shared_tmp_path)
    assert best_config(shared_tmp_path, names) == from_mapping(case("waves"))

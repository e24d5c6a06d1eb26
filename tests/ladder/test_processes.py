"""Rungs that need processes of their own: PEA, PET, PEM with 7 and 8 ranks, REP, DIM, ENG-01, ENG-32."""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from hpcsim.comm.context import Context
from tests.faults.driver import run_python
from tests.ladder.cases import CASES, answer, case, outcome, simulate

SCRIPT = str(Path(__file__).parent / "run_case.py")


@functools.cache
def alone(name: str) -> dict[str, Any]:
    """Answer of this process."""
    with Context.serial() as context:
        return answer(case(name), context)


def elsewhere(ranks: int, *wanted: dict[str, Any], environment: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Answers of another process, or of several ranks."""
    texts = [json.dumps(changes) for changes in wanted]
    launch = ["launch"] if ranks else []
    done = run_python(ranks, SCRIPT, *launch, *texts, limit_s=120.0, environment=environment)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]


def check(found: list[dict[str, Any]], names: list[str], mpi: bool) -> None:
    assert [answer.pop("mpi4py") for answer in found] == [mpi] * len(names)
    assert found == [alone(name) for name in names]


def test_one_rank_with_and_without_mpi() -> None:
    """PEA, REP: one rank under a launcher, and a process that never loads MPI, agree with this one on every case."""
    names = list(CASES)
    wanted = [{"name": name} for name in names]
    check(elsewhere(0, *wanted, environment={"PYTHONHASHSEED": "11"}), names, mpi=False)
    check(elsewhere(1, *wanted), names, mpi=True)


@pytest.mark.parametrize("ranks", [7, 8])
def test_seven_and_eight_ranks(ranks: int) -> None:
    """PEM: a prime number of ranks, and more than there are processors."""
    blocks = {"waves": [4, 5, 3], "reaction": [4, 4], "staggered": [4, 5], "four": [4, 3, 5, 4]}
    wanted = [{"name": name, "lattice__block_shape": block} for name, block in blocks.items()]
    check(elsewhere(ranks, *wanted), list(blocks), mpi=True)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_any_number_of_threads(threads: int) -> None:
    """PET: threads of one rank share out the boxes; blocks of several sizes."""
    names = ["reaction", "four"]
    found = elsewhere(
        0,
        {"name": "reaction", "lattice__block_shape": [7, 5], "run__threads": threads},
        {"name": "four", "run__threads": threads},
        environment={"NUMBA_NUM_THREADS": str(threads)},
    )
    check(found, names, mpi=False)


def scaled(length: int, time: int, field: int) -> dict[str, Any]:
    """The waves with length, time and field in units that are powers of two."""
    sections = case("waves", lattice__upper=[6.0 * 2**length, 5.0 * 2**length, 4.5 * 2**length])
    place = [f"({axis}*{2.0**-length!r})" for axis in "xyz"]
    rate, size = repr(2.0**-time), repr(2.0**field)
    sections["model"]["parameters"] = {
        "c": 2.0 ** (length - time),
        "chi": f"{rate}*(0.2 + 0.8*exp(-(({place[0]} - 3)/2)**2))",
        "damping": 0.01 * 2.0**-time,
    }
    bump = f"exp(-(({place[0]} - 2)**2 + ({place[1]} - 2.5)**2 + ({place[2]} - 2)**2)/0.5)"
    sections["initial"] = {"E": f"{size}*{bump}", "dt(E)": f"{size}*{rate}*sin(2*pi*{place[1]}/5)"}
    return sections


def test_units_scaled_by_powers_of_two() -> None:
    """DIM: no hidden dimensional constant; every value and step scales exactly."""
    with Context.serial() as context:
        runs = []
        for length, time, field in [(0, 0, 0), (3, -2, 5), (-7, 4, 0)]:
            with simulate(scaled(length, time, field), context) as simulation:
                simulation.run(steps=10)
                assert simulation.dt * 2.0**-time == (runs[0][0] if runs else simulation.dt)
                runs.append((simulation.dt, simulation["E"] * 2.0**-field))
    assert all((values == runs[0][1]).all() for _, values in runs)
    assert abs(runs[0][1]).max() > 0.1


def factorisations(number: int) -> list[tuple[int, int, int]]:
    return [f for f in itertools.product(range(1, number + 1), repeat=3) if f[0] * f[1] * f[2] == number]


def klein_gordon(n: int, steps: int, grid: tuple[int, int, int]) -> dict[str, Any]:
    parameters = {"chi": "0.2 + 0.8*exp(-((x - 4)/2)**2)"}
    return {
        "lattice": {"shape": [n] * 3, "upper": [8.0] * 3, "block_shape": [n // g for g in grid]},
        "model": {"name": "klein_gordon", "parameters": parameters},
        "initial": {"E": "exp(-((x - 2)**2 + (y - 4)**2 + (z - 4)**2)/0.5)"},
        "run": {"steps": steps},
    }


def test_every_factorisation_of_eight_blocks() -> None:
    """ENG-01 in small: 16^3, 10 steps, cut into 8 blocks in each of the ten ways."""
    grids = factorisations(8)
    assert len(grids) == 10
    with Context.serial() as context:
        found = [answer(klein_gordon(16, 10, grid), context) for grid in [(1, 1, 1), *grids]]
    assert all(other == found[0] for other in found)


@pytest.mark.nightly
def test_every_factorisation_of_eight_ranks() -> None:
    """ENG-01: 48^3, 200 steps, on 1, 2, 4, 8 ranks and on every factorisation of 8."""
    cases = [klein_gordon(48, 200, grid) for grid in [(1, 1, 1), (2, 1, 1), (2, 2, 1), *factorisations(8)]]
    found = []
    for ranks, sections in zip([1, 2, 4, *[8] * 10], cases, strict=True):
        changes = {f"{section}__{key}": value for section in sections for key, value in sections[section].items()}
        (done,) = elsewhere(ranks, {"name": "waves", **changes, "model__order": 2})
        found.append(done)
    assert all(other == found[0] for other in found)


COUNT = """
import sys
from numba.core import event
from hpcsim.api import Lattice, Model, Simulation
from tests.unit.kernels.test_cache import Count

count, found = Count(), []
model, initial = Model({"dtt(u)": "laplacian(u) - u**3"}), {"u": "sin(2*pi*x/4)"}
with event.install_listener("numba:compile", count):
    for dtype in ("float64", "float32"):
        for shape in ([32], [48], [100]):
            run = Simulation(Lattice(shape), model, initial=initial, dtype=dtype)
            run.run(steps=1000)
            run.digests()
            found.append(count.starts)
print(*found)
"""


def test_one_compilation_per_type_and_dimension(tmp_path: Path) -> None:
    """ENG-32: three shapes and two types, 1000 steps each; nothing is compiled in a second process."""
    environment = {"HPCSIM_CACHE_DIR": str(tmp_path / "kernels"), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    counts = []
    for _ in range(2):
        done = run_python(0, "-c", COUNT, environment=environment, limit_s=120.0)
        assert done.code == 0, done.err
        counts.append([int(word) for word in done.out.split()])
    first, second = counts
    assert first[0] > 0
    assert first[0] == first[1] == first[2] < first[3] == first[4] == first[5]
    assert second == [0] * 6


def test_an_outcome_has_everything_that_must_be_the_same() -> None:
    """TEST-OF-TEST: the comparison holds the registers that carry state, not the fields alone."""
    with Context.serial() as context, simulate(case("waves"), context) as simulation:
        simulation.run(steps=3)
        before = outcome(simulation)
        assert {"E", "E@prev"} <= set(before["digests"])
        value = simulation.state["E@prev"].array[0, 0, 5, 5, 5:6]
        value *= 1.0 + 2.0**-40
        after = outcome(simulation)
    assert before["digests"]["E"] == after["digests"]["E"]
    assert before["digests"]["E@prev"] != after["digests"]["E@prev"]

"""Fields given by convolutions: Yukawa and Coulomb potentials, the entanglement tensor (QG-03, QG-04, KG-15)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.comm.context import Context
from hpcsim.models.entanglement_tensor import COMPONENTS
from hpcsim.solvers.convolution_kernels import cell_mean
from hpcsim.solvers.fft.direct_sum import DirectSum
from hpcsim.solvers.fft.greens import make_green

# A Gaussian of width 1 with unit integral.
DENSITY = "exp(-(x**2 + y**2 + z**2)/2)/(2*pi)**1.5"
# Its potential exp(-r/l)/(4 pi r) in open space: length, then value by distance.
YUKAWA = {
    1.0: {0: 0.02186215778, 1: 0.01601944733, 2: 0.00681518430, 4: 0.000599433548},
    2.0: {0: 0.03567185306},
}
# -Phi/(G M) of the same Gaussian for lap Phi = 4 pi G rho.
NEWTON = {0: 0.797884561, 1: 0.682689492, 5: 0.199999885}


def box(steps: int) -> Lattice:
    """Six widths to all sides, with the middle of a cell at every multiple of the width."""
    edge = 6.0 + 0.5 / steps
    return Lattice([12 * steps + 1] * 3, lower=[-edge] * 3, upper=[edge] * 3, boundary="outflow")


def along(values: np.ndarray, steps: int, distances: Sequence[int]) -> dict[int, float]:
    """Values on the axis of x at some distances from the middle."""
    middle = 6 * steps
    return {r: float(values[middle + r * steps, middle, middle]) for r in distances}


def convolved(start: Any, steps: int, kernel: Any, source: str = DENSITY, **table: Any) -> Simulation:
    """A run that has nothing but a field given by a convolution."""
    convolutions = {"Phi": {"source": source, "kernel": kernel, **table}}
    return start(box(steps), Model(convolutions=convolutions, parameters={"G": 0.3, "M": 2.0}), backend="numpy")


@pytest.mark.parametrize("length", YUKAWA)
def test_qg_03_truncated_kernels_are_exact_to_the_digits_given(start: Any, length: float) -> None:
    """QG-03: spectral accuracy at a quarter of the width: as a convolution in text, and as E_tt of the model."""
    text = convolved(start, 4, {"name": "yukawa", "length": length})
    tensor = start(
        box(4),
        Model(name="entanglement_tensor", parameters={"kernel": "yukawa", "length": length}),
        initial={"rho": DENSITY},
        backend="numpy",
    )
    assert np.array_equal(text["Phi"], tensor["E_tt"])
    for distance, value in along(text["Phi"], 4, list(YUKAWA[length])).items():
        assert value == pytest.approx(YUKAWA[length][distance], rel=2e-9), distance


def test_qg_03_sampled_kernels_are_of_second_order(start: Any) -> None:
    """QG-03: the same function as a formula has no truncated transform; E_xx is E_tt/3 in the middle of a ball."""
    errors: dict[str, list[float]] = {"text": [], "E_xx": []}
    for steps in (4, 6):
        text = convolved(start, steps, "exp(-r)/(4*pi*r)")
        errors["text"].append(along(text["Phi"], steps, [0])[0] - YUKAWA[1.0][0])
        tensor = start(
            box(steps), Model(name="entanglement_tensor", parameters={"kernel": "yukawa"}), initial={"rho": DENSITY},
            backend="numpy",
        )  # fmt: skip
        errors["E_xx"].append(along(tensor["E_xx"], steps, [0])[0] - YUKAWA[1.0][0] / 3)
    for name, (coarse, fine) in errors.items():
        assert math.log(coarse / fine) / math.log(6 / 4) == pytest.approx(2.0, abs=0.05), name
        assert 1e-6 < abs(fine) < 1e-3, name


def test_kg_15_potential_of_a_static_source(start: Any) -> None:
    """KG-15: lap Phi = 4 pi G rho in open space, by convolution with -1/(4 pi r)."""
    run = convolved(start, 4, "coulomb", f"-4*pi*G*M*{DENSITY}")
    for distance, value in along(run["Phi"], 4, list(NEWTON)).items():
        assert -value / (0.3 * 2.0) == pytest.approx(NEWTON[distance], rel=5e-9), distance


def test_kg_15_waves_in_the_potential(start: Any) -> None:
    """KG-15: Klein-Gordon waves whose mass follows from the convolution move as with the potential in closed form."""
    closed = "-G*M*erf(sqrt((x**2 + y**2 + z**2)/2))/sqrt(x**2 + y**2 + z**2)"
    wave = {"dtt(E)": "laplacian(E) - (1 + Phi)**2*E"}
    lattice = Lattice([24] * 3, lower=[-6.0] * 3, upper=[6.0] * 3, boundary="dirichlet")
    parameters = {"G": 0.3, "M": 2.0}
    options = {"initial": {"E": "exp(-((x - 2)**2 + y**2 + z**2))"}, "dt": 0.1, "backend": "numpy"}
    fields: list[np.ndarray] = []
    for model in (
        Model(wave, parameters={**parameters, "Phi": closed}),
        Model(
            wave,
            parameters={**parameters, "rho": f"M*{DENSITY}"},
            convolutions={"Phi": {"source": "-4*pi*G*rho", "kernel": "coulomb"}},
        ),
        Model(wave, parameters={"Phi": 0.0}),
    ):
        fields.append(start(lattice, model, **options).run(steps=30)["E"].copy())
    # Half a width per cell: the Gaussian is resolved to about 1e-8.
    assert np.abs(fields[1] - fields[0]).max() < 1e-7
    assert np.abs(fields[1] - fields[2]).max() > 1e-2


def directions(offsets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The vector n = (1, x/r, y/r, z/r) at some offsets; at the origin (1, 0, 0, 0)."""
    r = np.sqrt(sum(offset**2 for offset in offsets))
    return [np.ones_like(r), *(offset / np.where(r == 0, 1.0, r) for offset in offsets)]


def tensor_kernels(radial: Callable[[np.ndarray], np.ndarray], spacing: Sequence[float]) -> list[Any]:
    """Every K_mn as a function of the offsets, with its value at the origin."""

    def kernel(m: int, n: int) -> Any:
        def values(offsets: Sequence[np.ndarray]) -> np.ndarray:
            r = np.sqrt(sum(offset**2 for offset in offsets))
            vector = directions(offsets)
            return np.asarray(radial(r) * vector[m] * vector[n])

        # The radial part of the time component is finite, so it is taken as it is; others stand for a cell.
        origin = float(radial(np.zeros(1))[0]) if m == n == 0 else cell_mean(values, spacing)
        return values, origin

    return [kernel(m, n) for m in range(4) for n in range(m, 4)]


def direct(source: np.ndarray, spacing: Sequence[float], kernel: Any, wraps: bool) -> np.ndarray:
    """The sum over all pairs of sites, one target after the other."""
    values, origin = kernel
    found = np.zeros_like(source)
    places = np.indices(source.shape)
    for target in np.ndindex(source.shape):
        steps = [t - place for t, place in zip(target, places, strict=True)]
        if wraps:
            steps = [(step + n // 2) % n - n // 2 for step, n in zip(steps, source.shape, strict=True)]
        weight = values([step * h for step, h in zip(steps, spacing, strict=True)])
        weight[np.logical_and.reduce([step == 0 for step in steps])] = origin
        found[target] = math.prod(spacing) * np.sum(weight * source)
    return found


@pytest.mark.parametrize("space", ["open", "periodic"])
@pytest.mark.parametrize("n", [8, 12])
def test_qg_04_all_ten_components_are_the_direct_sum(start: Any, n: int, space: str) -> None:
    """QG-04: O(N^6) against transforms, 1e-12, for a random density and cells that are no cubes."""
    spacing = (0.5, 0.4, 0.7)
    run = start(
        Lattice([n] * 3, upper=[n * h for h in spacing], boundary="periodic"),
        Model(
            name="entanglement_tensor",
            parameters={"kernel": "exp(-r/length)/(1 + r)", "length": 1.3, "coupling": 0.7, "space": space},
        ),
        initial={"rho": {"kind": "random"}},
        backend="numpy",
    )
    found = run.values("E")[0]
    kernels = tensor_kernels(lambda r: np.exp(-r / 1.3) / (1 + r), spacing)
    assert len(found) == len(kernels) == len(COMPONENTS) == 10
    for name, values, kernel in zip(COMPONENTS, found, kernels, strict=True):
        wanted = direct(0.7 * run["rho"], spacing, kernel, space == "periodic")
        assert np.abs(values - wanted).max() <= 1e-12 * np.abs(wanted).max(), name


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_tensor_in_one_to_three_dimensions(start: Any, ndim: int) -> None:
    """QG-04: axes that are missing have no components; n is light-like, so the trace -E_tt + E_xx + ... is zero."""
    run = start(
        Lattice([15] * ndim, boundary="outflow"),
        Model(name="entanglement_tensor", parameters={"length": 2.0, "D": 0.1, "gamma": 0.2}),
        initial={"rho": {"kind": "random", "mean": 1.0}},
        dt=0.2,
        backend="numpy",
    )
    assert list(run.case.system.orders) == ["rho"]
    before = run.values("E")[0][0].copy()
    run.run(steps=4)
    for name, values in zip(COMPONENTS, run.values("E")[0], strict=True):
        assert np.array_equal(run[f"E_{name}"], values)
        assert values.any() == (set(name) <= set("txyz"[: ndim + 1])), name
    trace = sum(run[f"E_{axis}{axis}"] for axis in "xyz"[:ndim])
    if ndim > 1:
        # A radial function is finite at the origin, a direction is a mean over the cell.
        own = make_green("gaussian", ndim, length=2.0).at_origin([1.0] * ndim)
        mean = cell_mean(
            lambda x: make_green("gaussian", ndim, length=2.0)(np.sqrt(sum(o**2 for o in x))), [1.0] * ndim
        )
        assert np.abs(trace - run["E_tt"] - (mean - own) * run["rho"]).max() <= 1e-13
    assert np.abs(before - run["E_tt"]).max() > 1e-2


def test_the_enclosed_mass_is_the_content(start: Any) -> None:
    """QG-03: a kernel of unit integral on a periodic lattice keeps the content, times the coupling."""
    run = start(
        Lattice([20, 20], boundary="periodic"),
        Model(name="entanglement_tensor", parameters={"coupling": 3.0, "space": "periodic", "sigma": 0.1, "D": 0.2}),
        initial={"rho": {"kind": "random", "mean": 1.0}},
        integrator="euler",
        dt=0.1,
        backend="numpy",
    )
    run.run(steps=5)
    found = run.quantities()
    assert found["mass"] == pytest.approx(3.0 * found["content"], rel=1e-7)


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Power of N by which a time grows, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def tensor_seconds(start: Any, n: int, repeats: int) -> float:
    """Shortest time of all ten components on n^3 sites."""
    run = start(
        Lattice([n] * 3, boundary="outflow"), Model(name="entanglement_tensor", parameters={"D": 0.1}),
        initial={"rho": {"kind": "random"}}, dt=0.1, backend="numpy",
    )  # fmt: skip
    return shortest(lambda: run.program.constraints[0].run(0.0, 0.1), repeats)


def shortest(work: Callable[[], None], repeats: int) -> float:
    """Shortest time of some calls, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def direct_seconds(n: int) -> float:
    """Shortest time of one component by the double sum."""
    total = DirectSum(Context.serial(), (n,) * 3, (1.0,) * 3, make_green("gaussian", 3, length=1.0))
    field, result = np.ones((n,) * 3), np.empty((n,) * 3)
    return shortest(lambda: total.apply(field, result), 2)


def test_qg_04_time_grows_far_slower_than_the_direct_sum(start: Any) -> None:
    """QG-04: on small lattices; the same measure gives the double sum an exponent that would be refused."""
    sizes = (24, 32, 48, 64)
    found = exponent(sizes, [tensor_seconds(start, n, 6) for n in sizes])
    assert 2.2 < found < 3.8
    small = (14, 20, 28)
    assert exponent(small, [direct_seconds(n) for n in small]) > 4.2


@pytest.mark.nightly
def test_qg_04_exponent_of_time(start: Any) -> None:
    """QG-04: N = 16..128, exponent between 2.8 and 3.5."""
    sizes = (16, 20, 24, 32, 40, 48, 64, 80, 96, 128)
    assert 2.8 < exponent(sizes, [tensor_seconds(start, n, max(4, 4800 // n**2)) for n in sizes]) < 3.5

"""Options of PETSc reach their solver, nothing leaks, nothing is left over (F-44, need 25)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.solvers.petsc.ksp import KspSolver
from hpcsim.solvers.petsc.names import known_names
from hpcsim.solvers.petsc.options import OptionBook, SolverOptions, flatten, split_words
from tests.unit.solvers.petsc.problems import poisson_case, unit_axes


def solver(library, case, name, book, preconditioner="jacobi") -> KspSolver:
    return KspSolver(library, case.system, SolverOptions(library, name, book), preconditioner)


@pytest.fixture
def case(context):
    return poisson_case(context, unit_axes((6, 5)))


def solved(made, case):
    return made.solve(np.ones(case.rows.count), np.zeros(case.rows.count))


def test_words_after_the_dashes():
    """Need 25: words are read as PETSc reads them; the last one wins."""
    words = [
        "-ksp_type",
        "gmres",
        "-phi_ksp_monitor",
        "-phi_pc_type",
        "jacobi",
        "-ksp_rtol",
        "1e-3",
        "-ksp_rtol",
        "-1e-4",
    ]
    book = OptionBook(split_words(words), ["phi"])
    assert book.given("phi") == {"ksp_type": "gmres", "ksp_rtol": "-1e-4", "ksp_monitor": "", "pc_type": "jacobi"}


@pytest.mark.parametrize("words", [["cg"], ["-ksp_type", "cg", "gmres"], ["--ksp_type", "cg"], ["-"]])
def test_words_that_are_no_options_are_refused(words):
    """F-44: a stray word is named."""
    with pytest.raises(ConfigError, match="is no option of PETSc"):
        split_words(words)


def test_table_may_be_nested():
    """Need 25: [petsc] with a table per solver, numbers, truth values and lists."""
    pairs = flatten(
        {"phi": {"ksp_type": "cg", "pc": {"type": "asm"}}, "-ksp_max_it": 30, "ksp_view": False, "a": [1, 2]}
    )
    assert pairs == [
        ("phi_ksp_type", "cg"),
        ("phi_pc_type", "asm"),
        ("ksp_max_it", "30"),
        ("ksp_view", "false"),
        ("a", "1,2"),
    ]
    with pytest.raises(ConfigError) as told:
        flatten({"ksp type": 1, "ksp_rtol": None})
    assert [p.where for p in told.value.problems] == ["petsc.ksp type", "petsc.ksp_rtol"]


def test_option_of_one_solver_overrides_one_for_all():
    """Need 25: whichever comes first."""
    for pairs in ([("phi_ksp_type", "gmres"), ("ksp_type", "cg")], [("ksp_type", "cg"), ("phi_ksp_type", "gmres")]):
        book = OptionBook(pairs, ["phi", "psi"])
        assert (book.given("phi"), book.given("psi")) == ({"ksp_type": "gmres"}, {"ksp_type": "cg"})


def test_longest_prefix_wins():
    """Need 25: the solvers `a` and `a_b` can be told apart."""
    book = OptionBook([("a_b_ksp_type", "cg"), ("a_ksp_type", "gmres")], ["a", "a_b"])
    assert (book.given("a"), book.given("a_b")) == ({"ksp_type": "gmres"}, {"ksp_type": "cg"})


def test_prefixes_isolate_two_solvers_at_once(library, case):
    """Need 25: each solver sees its own options and those for all, and no other's."""
    words = split_words(["-phi_ksp_type", "gmres", "-psi_pc_type", "none", "-ksp_max_it", "77"])
    book = OptionBook(words, ["phi", "psi"])
    with solver(library, case, "phi", book) as phi, solver(library, case, "psi", book) as psi:
        assert (phi.method, psi.method) == ("PETSc gmres with jacobi", "PETSc cg with none")
        assert phi._ksp.getTolerances()[3] == psi._ksp.getTolerances()[3] == 77
        first, second = solved(phi, case), solved(psi, case)
        assert first.converged and second.converged and solved(phi, case) == first


def test_one_name_twice_has_two_prefixes(library, case):
    """Need 25: solvers of one name, in stages of a step or in two runs of a process, share what the user said."""
    book = OptionBook(split_words(["-phi_ksp_type", "gmres"]), ["phi"])
    with solver(library, case, "phi", book) as first, solver(library, case, "phi", book) as second:
        assert first.method == second.method == "PETSc gmres with jacobi"
        assert solved(first, case) == solved(second, case)
        third = SolverOptions(library, "phi", book)
        assert third.prefix == "phi_n3_"
        third.free()
    again = SolverOptions(library, "phi")
    assert again.prefix == "phi_"
    again.free()


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("phi_ksp_typ", "-phi_ksp_typ: there is no such option; did you mean -phi_ksp_type?"),
        ("ksp_monitr", "-ksp_monitr: there is no such option; did you mean -ksp_monitor?"),
        ("phy_ksp_type", "-phy_ksp_type: there is no such option; did you mean -phi_ksp_type?"),
        ("phi_mg_levels_1_ksp_typ", "did you mean -phi_mg_levels_1_ksp_type?"),
        ("phi_pc_gamg_threshold", "PETSc has it, but the solver as it is set up did not ask for it"),
        ("pc_gamg_threshold", "PETSc has it, but no solver of this run (phi) asked for it"),
        ("phi_qqqqqqqqqqqq", "-phi_qqqqqqqqqqqq: there is no such option"),
    ],
)
def test_option_that_is_left_is_an_error_with_the_nearest_name(library, case, key, told):
    """F-44: unused options and typing errors end the set-up."""
    with pytest.raises(ConfigError) as error:
        solver(library, case, "phi", OptionBook([(key, "1"), ("phi_ksp_type", "cg")], ["phi"]))
    assert told in str(error.value) and error.value.exit_code == 2
    assert "option -phi_ksp_type" not in str(error.value)


def test_all_options_that_are_left_are_told_at_once(library, case):
    """F-44: every fault in one go."""
    with pytest.raises(ConfigError) as error:
        solver(library, case, "phi", OptionBook([("phi_ksp_typ", "cg"), ("phi_pc_typ", "ilu")], ["phi"]))
    assert len(error.value.problems) == 2


def test_option_for_all_may_be_used_by_one(library, case):
    """Need 25: `-pc_asm_overlap` matters to the solver with additive Schwarz only."""
    book = OptionBook([("pc_asm_overlap", "2")], ["phi", "psi"])
    with (
        solver(library, case, "phi", book, "jacobi"),
        solver(library, case, "psi", book, "additive_schwarz") as psi,
    ):
        assert solved(psi, case).converged
    book = OptionBook([("pc_asm_overlap", "2")], ["phi", "psi"])
    with solver(library, case, "phi", book, "jacobi"), pytest.raises(ConfigError, match="no solver of this run"):
        solver(library, case, "psi", book, "jacobi")


def test_option_that_petsc_reads_while_it_solves_may_wait(library, case, capfd):
    """Need 25: `-ksp_converged_reason` is looked up in the solve, and is no error before it."""
    with solver(library, case, "phi", OptionBook([("ksp_converged_reason", "")], ["phi"])) as phi:
        solved(phi, case)
    assert "converged" in capfd.readouterr().out
    with (
        solver(library, case, "phi", OptionBook([("phi_nothing_view", "")], ["phi"])) as phi,
        pytest.raises(ConfigError, match="nothing_view"),
    ):
        solved(phi, case)


def test_options_of_the_user_win(library, case):
    """Need 25: type, preconditioner and tolerances can always be overridden."""
    pairs = [("ksp_type", "gmres"), ("pc_type", "bjacobi"), ("sub_pc_type", "icc"), ("ksp_rtol", "1e-2")]
    with solver(library, case, "phi", OptionBook(pairs, ["phi"]), "gamg") as phi:
        outcome = phi.solve(np.ones(case.rows.count), np.zeros(case.rows.count), rtol=1e-12)
        assert phi.method == "PETSc gmres with bjacobi" and phi.choice.name == "block_jacobi"
        assert 1e-9 < outcome.reduction <= 1e-2


def test_unknown_type_names_it(library, case):
    """F-44: a method that PETSc does not have."""
    with pytest.raises(ConfigError, match="solver phi: unknown KSP type 'cgg'; did you mean 'cg'"):
        solver(library, case, "phi", OptionBook([("ksp_type", "cgg")], ["phi"]))
    with pytest.raises(ConfigError, match="unknown PC type 'gamgg'; did you mean 'gamg'"):
        solver(library, case, "phi", OptionBook([("pc_type", "gamgg")], ["phi"]))


def test_environment_of_petsc_counts_as_given(library, case):
    """Need 25: what PETSC_OPTIONS put into the database for a solver is used, checked, and left there."""
    database = library.petsc.Options()
    database.setValue("phi_ksp_type", "gmres")
    try:
        with solver(library, case, "phi", None) as phi:
            assert phi.method == "PETSc gmres with jacobi"
        assert database.getAll()["phi_ksp_type"] == "gmres"
        database.setValue("phi_ksp_typ", "cg")
        with pytest.raises(ConfigError, match="phi_ksp_typ:"):
            solver(library, case, "phi", None)
    finally:
        database.delValue("phi_ksp_type")
        database.delValue("phi_ksp_typ")


def test_options_go_even_if_a_rank_fails(library, case):
    """Need 32: leaving a block by an exception takes the options along, without any other rank."""
    with pytest.raises(ZeroDivisionError), solver(library, case, "phi", None):
        1 / 0  # noqa: B018
    solver(library, case, "phi", None).free()


def test_names_come_from_the_library_itself(library, tmp_path: Path):
    """F-44: a system without a list of mapped files still has an error, only without the nearest name."""
    assert {"ksp_type", "pc_type", "snes_rtol", "ts_type", "mat_mumps_icntl_14"} <= known_names()
    assert known_names(tmp_path / "absent") == frozenset()
    (tmp_path / "maps").write_text(f"0-1 r-xp 0 0 0 {tmp_path}/libpetsc.so\n")
    (tmp_path / "libpetsc.so").write_bytes(b"x\0-ksp_one\0\0-Not_this\0-ksp_two\0-a b\0")
    assert known_names(tmp_path / "maps") == {"ksp_one", "ksp_two"}


@pytest.mark.parametrize("name", ["", "1phi", "a b", "a-b"])
def test_name_that_is_no_prefix_is_refused(name):
    """F-44: the name of a solver is the prefix of its options."""
    with pytest.raises(ConfigError, match="cannot be the prefix"):
        OptionBook((), [name])

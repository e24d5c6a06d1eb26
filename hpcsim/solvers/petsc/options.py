"""Options of PETSc: read from a table and from words after ``--``, dealt out to the solvers of a run, none left over.

The solver ``phi`` has the prefix ``phi_``: ``-phi_ksp_type cg`` is meant for it alone, ``-ksp_type cg`` for every
solver. An option of one solver overrides one for all; later words override earlier ones and the table.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcsim.errors import ConfigError, Problem, nearest
from hpcsim.solvers.petsc.names import Usage, known_names, split_nested

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library

Pair = tuple[str, str]
# Asked for by PETSc only while it solves.
_LATE = re.compile(r"(?:converged_reason|test_null_space|_view|_view_\w+)$")
_KEY = re.compile(r"[A-Za-z]\w*")
_SIGN = "hpcsim_owner_"


def split_words(words: Sequence[str]) -> list[Pair]:
    """Options from words of a command line, as PETSc reads them: ``-key``, then a value unless another key follows.

    Raises
    ------
    ConfigError
        If a word is neither a key nor the value of one.

    Examples
    --------
    >>> split_words(["-ksp_type", "cg", "-ksp_monitor", "-phi_shift", "-1.5"])
    [('ksp_type', 'cg'), ('ksp_monitor', ''), ('phi_shift', '-1.5')]
    """
    pairs: list[Pair] = []
    faults = []
    open_key = False
    for word in words:
        name = word.removeprefix("-")
        if word.startswith("-") and _KEY.fullmatch(name):
            pairs.append((name, ""))
        elif open_key:
            pairs[-1] = (pairs[-1][0], word)
        else:
            faults.append(Problem("--", f"'{word}' is no option of PETSc; write '-name' or '-name value'"))
        open_key = word.startswith("-") and bool(_KEY.fullmatch(name))
    if faults:
        raise ConfigError(faults)
    return pairs


def flatten(table: Mapping[str, Any]) -> list[Pair]:
    """Options from a table; a table within it holds the options of one solver.

    Raises
    ------
    ConfigError
        If a key is no name, or a value neither text, number, truth value nor list of those.

    Examples
    --------
    >>> flatten({"ksp_rtol": 1e-9, "phi": {"ksp_type": "cg", "ksp_monitor": True}, "pc_mg_levels": 3})
    [('ksp_rtol', '1e-09'), ('phi_ksp_type', 'cg'), ('phi_ksp_monitor', ''), ('pc_mg_levels', '3')]
    """
    pairs: list[Pair] = []
    faults = []
    for key, value in table.items():
        name = str(key).removeprefix("-")
        where = f"petsc.{key}"
        if not _KEY.fullmatch(name):
            faults.append(Problem(where, "is no name of an option; it has letters, digits and '_'"))
        elif isinstance(value, Mapping):
            pairs += [(f"{name}_{inner}", text) for inner, text in flatten(value)]
        elif isinstance(value, (list, tuple)) and all(isinstance(item, (str, int, float)) for item in value):
            pairs.append((name, ",".join(_text(item) for item in value)))
        elif isinstance(value, (str, int, float)):
            pairs.append((name, _text(value)))
        else:
            faults.append(Problem(where, f"is a {type(value).__name__}; give text, a number, true, false or a list"))
    if faults:
        raise ConfigError(faults)
    return pairs


def _text(value: str | int | float) -> str:
    """Value as PETSc reads it; one that is switched on stands alone, since some would take ``true`` as a file name."""
    if value is True:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


class OptionBook:
    """The options of all solvers of a run, and which of them were used.

    Parameters
    ----------
    pairs : iterable of (str, str)
        Name without the dash, and value; later ones override earlier ones.
    solvers : sequence of str
        Names of the solvers that the run will have.

    Raises
    ------
    ConfigError
        If the name of a solver cannot be a prefix.

    Examples
    --------
    >>> book = OptionBook([("ksp_type", "cg"), ("phi_ksp_type", "gmres"), ("ksp_rtol", "1e-8")], ["phi", "psi"])
    >>> book.given("phi"), book.given("psi")
    ({'ksp_type': 'gmres', 'ksp_rtol': '1e-8'}, {'ksp_type': 'cg', 'ksp_rtol': '1e-8'})
    """

    def __init__(self, pairs: Iterable[Pair] = (), solvers: Sequence[str] = ()) -> None:
        wrong = [name for name in solvers if not _KEY.fullmatch(name)]
        if wrong:
            raise ConfigError(f"'{wrong[0]}' cannot be the prefix of PETSc options; use letters, digits and '_'")
        self.solvers = tuple(solvers)
        self._general: dict[str, str] = {}
        self._own: dict[str, dict[str, str]] = {name: {} for name in solvers}
        for key, value in pairs:
            solver = self._solver(key)
            if solver is None:
                self._general[key] = value
            else:
                self._own[solver][key.removeprefix(f"{solver}_")] = value
        self._waiting = set(solvers)
        self._used: set[str] = set()
        self._seen: Usage = {}

    def _solver(self, key: str) -> str | None:
        """The solver whose prefix a key has; the longest one if there are several."""
        found = [name for name in self.solvers if key.startswith(f"{name}_")]
        return max(found, key=len, default=None)

    def given(self, solver: str) -> dict[str, str]:
        """Options for one solver, without its prefix."""
        return {**self._general, **self._own.get(solver, {})}

    def settle(self, library: Library, solver: str, usage: Usage, late: frozenset[str] = frozenset()) -> None:
        """Take note of what a solver that is set up has asked for; collective.

        Parameters
        ----------
        library : Library
            For the names that PETSc knows.
        solver : str
            Name of the solver.
        usage : dict of str to bool
            Every given option, without the prefix, and whether it was used.
        late : frozenset of str
            Options that may yet be used.

        Raises
        ------
        ConfigError
            On all ranks, if an option for this solver is left, or this is the last solver and an option for all of
            them is left.
        """
        self._seen.update({f"{solver}_{key}": used for key, used in usage.items()})
        self._used |= {key for key, used in usage.items() if used}
        general = self._general.keys() - self._own.get(solver, {}).keys()
        left = [f"{solver}_{key}" for key, used in usage.items() if not used and key not in general | late]
        if not late:
            self._waiting.discard(solver)
        if not self._waiting:
            left += [key for key in self._general if key not in self._used]
        self._refuse(library, left)

    def _refuse(self, library: Library, left: Sequence[str]) -> None:
        """Raise if there are options left, each with the nearest name that PETSc knows."""
        if not left:
            return
        # The names are read from a file of some tens of megabytes, which one rank does for all.
        text = "\n".join(self._faults(left, known_names())) if library.context.rank == 0 else ""
        lines = library.context.bcast_text(text).split("\n")
        raise ConfigError([Problem("petsc", line) for line in lines])

    def _faults(self, left: Sequence[str], known: frozenset[str]) -> list[str]:
        used = [key for key, was in self._seen.items() if was]
        faults = []
        for key in left:
            prefix = f"{self._solver(key)}_" if self._solver(key) is not None else ""
            nested, plain = split_nested(key.removeprefix(prefix))
            if plain in known:
                who = "the solver as it is set up" if prefix else f"no solver of this run ({', '.join(self.solvers)})"
                faults.append(f"option -{key}: PETSc has it, but {who} {'did not ask' if prefix else 'asked'} for it")
                continue
            near = [f"{prefix}{nested}{name}" for name in nearest(plain, known)]
            near = self._other_prefix(key, known) or near or nearest(key, used)
            hint = f"; did you mean -{near[0]}?" if near else ""
            faults.append(f"option -{key}: there is no such option{hint}")
        return faults

    def _other_prefix(self, key: str, known: frozenset[str]) -> list[str]:
        """The option of a solver with a similar name, if the rest of the key is an option."""
        parts = key.split("_")
        for cut in range(1, len(parts)):
            first, rest = "_".join(parts[:cut]), "_".join(parts[cut:])
            if split_nested(rest)[1] in known:
                return [f"{name}_{rest}" for name in nearest(first, self.solvers)]
        return []


class SolverOptions:
    """The options of one solver while it lives, in the database of PETSc under its prefix.

    Parameters
    ----------
    library : Library
        PETSc.
    name : str
        Name of the solver.
    book : OptionBook, optional
        Where its options come from; by default there are none.

    Attributes
    ----------
    prefix : str
        What its names begin with in the database: ``phi_``, or ``phi_n2_`` while another solver has that.
    """

    def __init__(self, library: Library, name: str, book: OptionBook | None = None) -> None:
        self.name = name
        self._library = library
        self._book = OptionBook((), [name]) if book is None else book
        self._database = library.petsc.Options()
        # The sign in the database tells other solvers of this process that the prefix is taken. A bare number would not
        # do: PETSc looks for phi_2_x under phi_x too.
        self.prefix = next(
            prefix
            for prefix in itertools.chain([f"{name}_"], (f"{name}_n{number}_" for number in itertools.count(2)))
            if not self._database.hasName(_SIGN + prefix)
        )
        self._sign = _SIGN + self.prefix
        base = f"{name}_"
        # Options in PETSC_OPTIONS count as given, and stay where they are. The first solver of a name leaves a list of
        # them in its sign, since the others could not tell them from its own.
        there = self._database.getAll()
        first = _SIGN + base not in there
        outer = [key for key in there if key.startswith(base)] if first else (there[_SIGN + base] or "").split(",")
        self._given = {key.removeprefix(base): there.get(key) or "" for key in outer if key}
        self._given |= self._book.given(name)
        own = self._book.given(name) if self.prefix == base else self._given
        self._names = {self._sign: ",".join(outer)} | {self.prefix + key: value for key, value in own.items()}
        for key, value in self._names.items():
            self._database.setValue(key, value)
        self._database.hasName(self._sign)
        self._asked: set[str] = set()
        self._settled = self._closed = False

    def default(self, values: Mapping[str, str]) -> None:
        """Give options a value that the user can override."""
        for key, value in values.items():
            if key not in self._given:
                self._names[self.prefix + key] = value
                self._database.setValue(self.prefix + key, value)

    def asked(self, key: str) -> str | None:
        """Value the user gave to an option that we, not PETSc, obey; None if he gave none."""
        self._asked.add(key)
        return self._given.get(key)

    def given(self, key: str) -> str | None:
        """Value the user gave to an option of PETSc, None if he gave none."""
        return self._given.get(key)

    def settle(self, finished: bool = False) -> None:
        """Check that everything the user gave was used; collective.

        Parameters
        ----------
        finished : bool
            Whether the solver has solved once; before that, options that PETSc asks for only then may be unused.

        Raises
        ------
        ConfigError
            On all ranks; names the options that are left, and the nearest one that PETSc knows.
        """
        if self._settled:
            return
        flags = np.array([self._was_used(key) for key in self._given], np.float64)
        if len(flags):
            flags = self._library.context.max(flags)
        usage = {key: bool(flag) for key, flag in zip(self._given, flags, strict=True)}
        late = frozenset(key for key, used in usage.items() if not used and not finished and _LATE.search(key))
        self._settled = not late
        self._book.settle(self._library, self.name, usage, late)

    def _was_used(self, key: str) -> bool:
        return key in self._asked or self._library.used(self.prefix + key)

    def free(self) -> None:
        """Take the options out of the database; concerns this rank alone, harmless the second time."""
        if not self._closed:
            self._closed = True
            for key in self._names:
                self._database.delValue(key)

    abandon = free

"""Ownership of PETSc objects: destroyed by hand, last made first, in the same order on all ranks."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")
S = TypeVar("S", bound="Owner")


class Owner:
    """Base of everything that holds PETSc objects; a context manager.

    Destroying an object is collective, so it is never left to the garbage collector: that runs at another moment on
    every rank. When an exception leaves the ``with`` block, the other ranks may not be here to take part: objects then
    stay with PETSc, which destroys them at `Library.collect` or at its end; only what needs no other rank is undone.

    Examples
    --------
    >>> class Thing:
    ...     def __init__(self, name):
    ...         self.name = name
    ...
    ...     def destroy(self):
    ...         print("end of", self.name)
    >>> with Owner() as owner:
    ...     matrix, solver = owner.keep(Thing("matrix")), owner.keep(Thing("solver"))
    end of solver
    end of matrix
    """

    def __init__(self) -> None:
        self._owned: list[Any] = []

    def keep(self, thing: T) -> T:
        """Own an object that has a verb ``destroy`` or ``free``."""
        self._owned.append(thing)
        return thing

    def free(self) -> None:
        """Destroy everything that is owned; collective, harmless the second time."""
        while self._owned:
            thing = self._owned.pop()
            (thing.destroy if hasattr(thing, "destroy") else thing.free)()

    def abandon(self) -> None:
        """Undo what concerns this rank alone, and let go of the rest."""
        while self._owned:
            thing = self._owned.pop()
            if hasattr(thing, "abandon"):
                thing.abandon()

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.free()
        else:
            self.abandon()

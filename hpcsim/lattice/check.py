"""Checks of whole numbers given by a user, made before anything is allocated."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from hpcsim.errors import LayoutError, Problem

AXES = "xyzw"
MOST_FAULTS_SHOWN = 8


def whole_number(value: object, where: str, least: int, most: int) -> int:
    """The value as an int, if it is a whole number in a range.

    Parameters
    ----------
    value : object
        What the user gave; floats, booleans and text are refused even where they look like integers.
    where : str
        Name of the key or argument, for the message.
    least, most : int
        Smallest and largest allowed value.

    Raises
    ------
    LayoutError
        If the value is no integer or lies outside the range.

    Examples
    --------
    >>> whole_number(3, "ghost", 0, 8)
    3
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise LayoutError([Problem(where, f"{value!r} is not a whole number; allowed: {least} to {most}")])
    if not least <= number <= most:
        raise LayoutError([Problem(where, f"{_shown(number)} is outside the allowed range {least} to {most}")])
    return number


def whole_numbers(values: Sequence[object], where: str, least: int, most: int) -> tuple[int, ...]:
    """The values as ints, reporting every fault of the list at once.

    Raises
    ------
    LayoutError
        If the argument is no sequence, or any entry is no integer in the range; the entries are named by axis.

    Examples
    --------
    >>> whole_numbers([4, 5], "shape", 1, 10)
    (4, 5)
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise LayoutError([Problem(where, f"{values!r} is not a list of whole numbers, one per axis")])
    numbers: list[int] = []
    problems: list[Problem] = []
    for axis, value in enumerate(values):
        try:
            numbers.append(whole_number(value, f"{where}[{axis}]", least, most))
        except LayoutError as error:
            problems.extend(error.problems)
    if problems:
        hidden = len(problems) - MOST_FAULTS_SHOWN
        more = [Problem(where, f"and {hidden} more entries like these")] if hidden > 0 else []
        raise LayoutError([*problems[:MOST_FAULTS_SHOWN], *more])
    return tuple(numbers)


def _shown(number: int) -> str:
    """A number of any size in few characters."""
    if abs(number) < 10**30:
        return str(number)
    return f"{'-' if number < 0 else ''}(a number of {number.bit_length()} bits)"


def axis_name(axis: int) -> str:
    """Letter of an axis: x, y, z, w.

    Examples
    --------
    >>> axis_name(2)
    'z'
    """
    return AXES[axis]

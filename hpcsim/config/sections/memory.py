"""Section ``[memory]``: how much the run may take, and how the pool cuts it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from hpcsim.config.values import Section, fault, key, printable, shown
from hpcsim.errors import ConfigError
from hpcsim.sizes import parse_size, size_text

_ALLOWED = "write a size, '8 GB', or a share of the memory of the node, '0.9'"


def read_budget(text: str) -> float | int:
    """A budget: a share of the node's memory as a float, or bytes as an integer.

    Raises
    ------
    ConfigError
        If the text is neither.

    Examples
    --------
    >>> read_budget("0.5"), read_budget("8 GB")
    (0.5, 8000000000)
    """
    try:
        share = float(text)
    except ValueError:
        try:
            return parse_size(text)
        except ConfigError as error:
            raise ConfigError(f"{error}; {_ALLOWED}") from None
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"a share must be above 0 and at most 1, got '{printable(text)}'; {_ALLOWED}")
    return share


def budget_bytes(text: str, offered: int) -> int:
    """Bytes of a budget on a node that offers so many.

    Examples
    --------
    >>> budget_bytes("0.5", 1000), budget_bytes("2 kB", 1000)
    (500, 2000)
    """
    budget = read_budget(text)
    return budget if isinstance(budget, int) else int(budget * offered)


def _quoted(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        given = f"'{value}'" if 0 < value <= 1 else f"'{size_text(int(value))}'" if value >= 1 else "'0.9'"
        fault(f"expected text in quotes, got {shown(value)}; write {given}")
    return value


def _budget(text: str) -> str:
    try:
        read_budget(text)
    except ConfigError as error:
        fault(str(error))
    return text.strip()


Budget = Annotated[str, BeforeValidator(_quoted), Field(strict=True), AfterValidator(_budget)]


class Memory(Section):
    """Memory that the run may take on each node."""

    budget: Budget = key(
        "0.9",
        "Most memory that the ranks of a node may take together: a size, '8 GB', or the share '0.9' of what the node, "
        "its control group and the job offer. A run that needs more is refused before it starts.",
    )
    strategy: Literal["classes", "buddy"] = key(
        "classes",
        "How the pool cuts memory: size classes at most 1.19 apart, or halves of powers of two that join again.",
    )

"""Walks nested page tables: EPT (SDM Vol. 3C, 29.3.2) and NPT (AMD APM Vol. 2, 15.25)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

_ADDRESS = 0x000FFFFFFFFFF000
_LARGE = 1 << 7
_TYPES = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB"}
NAMES = {5: "PML5", 4: "PML4", 3: "PDPT", 2: "PD", 1: "PT"}


class Kind(Enum):
    """Whose format the entries have."""

    EPT = "EPT"
    NPT = "NPT"


@dataclass(frozen=True)
class Step:
    """One entry of the walk; `target` is the table or page it leads to, None if not present."""

    level: int
    index: int
    value: int
    access: str
    leaf: bool
    target: int | None


def _access(kind: Kind, value: int, leaf: bool) -> str:
    if kind is Kind.EPT:
        rights = "".join(name if value >> bit & 1 else "-" for bit, name in enumerate("rwx"))
        kind_of = value >> 3 & 7
        return f"{rights} {_TYPES.get(kind_of, f'type {kind_of}')}" if leaf else rights
    return f"r{'w' if value & 2 else '-'}{'-' if value >> 63 else 'x'}"


def walk(
    kind: Kind, root: int, levels: int, address: int, read: Callable[[int], int]
) -> Iterator[Step]:
    """From the top-level table to the page; `read` gives the entry at a host-physical address."""
    table = root & _ADDRESS
    present = 7 if kind is Kind.EPT else 1
    for level in range(levels, 0, -1):
        shift = 12 + 9 * (level - 1)
        index = address >> shift & 511
        value = read(table + index * 8)
        leaf = level == 1 or (level < 4 and bool(value & _LARGE))
        if not value & present:
            yield Step(level, index, value, "not present", leaf=False, target=None)
            return
        inside = (1 << shift) - 1
        target = value & _ADDRESS
        if leaf:
            target = target & ~inside | address & inside
        yield Step(level, index, value, _access(kind, value, leaf), leaf, target)
        if leaf:
            return
        table = target

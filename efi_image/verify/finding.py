"""What verify finds: a rule that is broken, where, why, and how to mend it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

DISK = "disk"  # the part that is all of an image
LIMIT = 20  # findings of one rule in one part of an image that are listed one by one


class Severity(Enum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Rule:
    """A numbered rule: what is wrong when it is broken, what comes of it, how it is mended."""

    code: str
    severity: Severity
    title: str
    why: str
    mend: str
    fixable: bool = False


@dataclass(frozen=True)
class Patch:
    """Bytes to be written at an offset of the medium."""

    offset: int
    data: bytes


@dataclass(frozen=True)
class Copy:
    """`size` bytes of the medium at `source` to be written at `offset` as well."""

    offset: int
    source: int
    size: int


@dataclass(frozen=True)
class Fix:
    """What `--fix` does about a finding, in words and in bytes."""

    text: str
    patches: tuple[Patch | Copy, ...]


@dataclass(frozen=True)
class Place:
    """Where: the part of the image, bytes and sectors from the image's start, a path."""

    part: str
    offset: int | None = None
    sector: int | None = None
    path: str = ""

    def __str__(self) -> str:
        words = [self.part]
        if self.path:
            words.append(self.path)
        if self.offset is not None:
            words.append(f"at 0x{self.offset:x} (sector {self.sector})")
        return ", ".join(words)


@dataclass(frozen=True)
class Finding:
    """One broken rule at one place."""

    rule: Rule
    place: Place
    reason: str
    fix: Fix | None = None


@dataclass
class Findings:
    """Collects what the rules find, a bounded number of each."""

    catalogue: dict[str, Rule]
    sector_size: int = 512
    found: list[Finding] = field(default_factory=list)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(
        self,
        code: str,
        reason: str,
        *,
        part: str = DISK,
        offset: int | None = None,
        path: str = "",
        fix: Fix | None = None,
    ) -> None:
        """Note that a rule is broken; `offset` in bytes from the image's start."""
        key = (part, code)
        self._counts[key] += 1
        if self._counts[key] > LIMIT:
            return
        sector = None if offset is None else offset // self.sector_size
        place = Place(part, offset, sector, path)
        self.found.append(Finding(self.catalogue[code], place, reason, fix))

    def has(self, part: str, *prefixes: str) -> bool:
        """Whether a rule whose number begins so is broken in that part."""
        return any(own == part and code.startswith(prefixes) for own, code in self._counts)

    def omitted(self) -> Iterator[tuple[str, str, int]]:
        """Part, rule and number of the findings that are not listed."""
        for (part, code), count in self._counts.items():
            if count > LIMIT:
                yield part, code, count - LIMIT

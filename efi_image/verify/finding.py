"""What verify finds: a broken rule, where, the reason, and the bytes that repair it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from shlex import quote

from efi_image.verify.rules import BY_CODE, IN_ISO, Rule

DISK = "disk"  # the part that is the whole image
LIMIT = 20  # findings of one rule in one part that are listed; the others are counted


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes to write at an offset, in bytes from the image's start."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Copy:
    """`size` bytes to copy from `source` to `offset`, both in bytes from the image's start."""

    offset: int
    source: int
    size: int


@dataclass(frozen=True, slots=True)
class Fix:
    """What `--fix` does about a finding: `text` in the past tense, and the bytes."""

    text: str
    patches: tuple[Patch | Copy, ...]


@dataclass(frozen=True, slots=True)
class Location:
    """The part of the image, the byte and sector from the image's start, the path."""

    part: str
    offset: int | None = None
    sector: int | None = None
    path: str = ""

    def __str__(self) -> str:
        words = [self.part]
        if self.path:
            words.append(self.path)
        if self.offset is not None:
            words.append(f"byte 0x{self.offset:x} (sector {self.sector})")
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule in one location; `fix` is None where `--fix` cannot repair it."""

    rule: Rule
    location: Location
    reason: str
    fix: Fix | None = None

    def advice(self, image: str) -> str:
        """What to do about it in that image file: a command where there is one."""
        if self.fix:
            return f"`zpp-image verify --fix {quote(image)}` {self.rule.repair}"
        part, _, number = self.location.part.partition(" ")
        words = {"IMAGE": quote(image), "N": number if part == "partition" else "N"}
        text = self.rule.fix or IN_ISO  # only an ISO's volumes are not repaired
        return re.sub(r"\b(IMAGE|N)\b", lambda found: words[found[0]], text)


@dataclass(slots=True)
class Findings:
    """Collects findings: LIMIT of each rule in each part, and the number of the others."""

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
        """Add a finding by its rule's code; `offset` is in bytes from the image's start."""
        self._counts[part, code] += 1
        if self._counts[part, code] > LIMIT:
            return
        sector = None if offset is None else offset // self.sector_size
        location = Location(part, offset, sector, path)
        self.found.append(Finding(BY_CODE[code], location, reason, fix))

    def has(self, part: str, *prefixes: str) -> bool:
        """Whether the part breaks a rule whose code starts with one of the prefixes."""
        return any(own == part and code.startswith(prefixes) for own, code in self._counts)

    def omitted(self) -> Iterator[tuple[str, str, int]]:
        """Part, rule and number of the findings beyond LIMIT."""
        for (part, code), count in self._counts.items():
            if count > LIMIT:
                yield part, code, count - LIMIT


def plural(count: int, noun: str) -> str:
    """The number and the noun, as in `1 file` and `2 files`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"

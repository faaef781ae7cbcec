"""The part of an image that a check looks at, and the findings that it adds to."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from efi_image.io.medium import Medium
from efi_image.progress import Progress
from efi_image.verify.finding import DISK, Copy, Findings, Fix, Patch
from efi_image.verify.rules import Severity


@dataclass(frozen=True, slots=True)
class CheckContext:
    """A whole disk or a FAT volume on it: `medium` is its bytes, `base` its offset in the image.

    All offsets that the methods take are bytes from the medium's start; `base` is added to
    them. Findings have no fix unless `fixable`. `start` is the partition's first sector, None
    for a volume without a partition.
    `disk_sector_size` is None where it is unknown. `progress` gets the bytes that were checked.
    """

    medium: Medium
    findings: Findings
    part: str = DISK
    base: int = 0
    start: int | None = None
    disk_sector_size: int | None = None
    progress: Progress | None = None
    fixable: bool = True

    def add(
        self,
        code: str,
        reason: str,
        offset: int | None = None,
        path: str = "",
        fix: Fix | None = None,
    ) -> None:
        """Add a finding; `code` is the rule's without `ZPP-`."""
        offset = None if offset is None else self.base + offset
        fix = fix if self.fixable else None
        self.findings.add("ZPP-" + code, reason, part=self.part, offset=offset, path=path, fix=fix)

    def has(self, *prefixes: str) -> bool:
        """Whether this part breaks a rule whose code (without `ZPP-`) starts with a prefix."""
        return self.findings.has(self.part, *("ZPP-" + prefix for prefix in prefixes))

    def has_error(self, prefix: str) -> bool:
        """As `has`, for rules whose severity is an error."""
        return any(
            each.rule.severity is Severity.ERROR
            and each.location.part == self.part
            and each.rule.code.startswith("ZPP-" + prefix)
            for each in self.findings.found
        )

    def patch(self, offset: int, data: bytes) -> Patch:
        """Bytes to write."""
        return Patch(self.base + offset, data)

    def copy(self, offset: int, source: int, size: int) -> Copy:
        """Bytes to copy within this part."""
        return Copy(self.base + offset, self.base + source, size)

    def fix(self, text: str, *patches: Patch | Copy) -> Fix:
        """A fix that writes bytes; `text` says what it did, in the past tense."""
        return Fix(text, patches)

    def write(self, text: str, offset: int, form: str, *values: int) -> Fix:
        """A fix that writes little-endian numbers in the struct format `form`."""
        return Fix(text, (self.patch(offset, struct.pack("<" + form, *values)),))

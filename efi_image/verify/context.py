"""The part of an image that rules look at, and where what they find is noted."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from efi_image.io.medium import Medium
from efi_image.progress import Progress
from efi_image.verify.finding import DISK, Copy, Findings, Fix, Patch


@dataclass(frozen=True)
class Scope:
    """A FAT volume or a whole disk: `medium` is its bytes, `base` its place in the image.

    Offsets are bytes of the medium; findings and patches get them from the image's start.
    `start` is the partition's first sector, None for a volume without a disk around it;
    `disk_sector_size` is None where nobody knows it. `progress` is told of the bytes looked at.
    """

    medium: Medium
    findings: Findings
    part: str = DISK
    base: int = 0
    start: int | None = None
    disk_sector_size: int | None = None
    progress: Progress | None = None

    def add(
        self,
        code: str,
        reason: str,
        offset: int | None = None,
        path: str = "",
        fix: Fix | None = None,
    ) -> None:
        """Note a finding."""
        place = None if offset is None else self.base + offset
        self.findings.add("ZPP-" + code, reason, part=self.part, offset=place, path=path, fix=fix)

    def has(self, *prefixes: str) -> bool:
        """Whether a rule of this part whose number begins so is broken."""
        return self.findings.has(self.part, *("ZPP-" + prefix for prefix in prefixes))

    def patch(self, offset: int, data: bytes) -> Patch:
        """Bytes to be written."""
        return Patch(self.base + offset, data)

    def copy(self, offset: int, source: int, size: int) -> Copy:
        """Bytes to be copied within this part."""
        return Copy(self.base + offset, self.base + source, size)

    def fix(self, text: str, patches: tuple[Patch, ...]) -> Fix:
        """A fix that writes bytes."""
        return Fix(text, patches)

    def put(self, text: str, offset: int, form: str, *values: int) -> Fix:
        """A fix that writes numbers in the given struct form."""
        return Fix(text, (self.patch(offset, struct.pack("<" + form, *values)),))

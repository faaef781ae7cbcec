"""Checks an image and reports all findings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from efi_image.formats.detect import open_medium
from efi_image.io.medium import Medium, sector_size_of
from efi_image.verify.disk import DiskCheck
from efi_image.verify.finding import Finding, Findings
from efi_image.verify.options import Options
from efi_image.verify.rules import Severity


@dataclass(frozen=True, slots=True)
class Omitted:
    """The number of findings of one rule in one part that are not listed."""

    part: str
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of an image; `size` in bytes."""

    image: str
    size: int
    findings: tuple[Finding, ...]
    omitted: tuple[Omitted, ...]

    def count(self, severity: Severity) -> int:
        """The number of listed findings of that severity."""
        return sum(finding.rule.severity is severity for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether no finding is an error."""
        return self.count(Severity.ERROR) == 0


def check_medium(medium: Medium, options: Options) -> Report:
    """Check an open image.

    Raises InputError if it cannot be read at all; damage is reported as findings.
    """
    findings = Findings()
    DiskCheck(medium, options, findings).run()
    omitted = tuple(Omitted(*row) for row in findings.omitted())
    return Report(medium.name, medium.size, tuple(findings.found), omitted)


def verify(path: str | Path, options: Options | None = None) -> Report:
    """Check an image file of any format that zpp-image reads, or a device; never changes it.

    Raises InputError if it cannot be read at all; damage is reported as findings.
    """
    options = options or Options()
    with open_medium(path) as medium:
        if options.sector_size is None:
            options = replace(options, sector_size=sector_size_of(medium))
        return check_medium(medium, options)

"""All that is found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from efi_image.formats.detect import open_medium
from efi_image.io.medium import Medium
from efi_image.verify.disk import DiskCheck
from efi_image.verify.finding import Finding, Findings, Severity
from efi_image.verify.options import Options
from efi_image.verify.rules import CATALOGUE


@dataclass(frozen=True)
class Omitted:
    """Findings of one rule in one part that are too many to list."""

    part: str
    code: str
    count: int


@dataclass(frozen=True)
class Report:
    """What was found; `size` in bytes."""

    image: str
    size: int
    findings: tuple[Finding, ...]
    omitted: tuple[Omitted, ...]

    def count(self, severity: Severity) -> int:
        """How many findings are listed of that severity."""
        return sum(finding.rule.severity is severity for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether there is no error."""
        return self.count(Severity.ERROR) == 0


def check_medium(medium: Medium, options: Options) -> Report:
    """Check an open image; raises InputError if it cannot be read at all."""
    findings = Findings(CATALOGUE)
    DiskCheck(medium, options, findings).run()
    omitted = tuple(Omitted(*row) for row in findings.omitted())
    return Report(medium.name, medium.size, tuple(findings.found), omitted)


def verify(path: str | Path, options: Options | None = None) -> Report:
    """Check an image file of any known format, or a device; raises InputError.

    It is not changed.
    """
    with open_medium(path) as medium:
        return check_medium(medium, options or Options())

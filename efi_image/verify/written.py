"""A medium compared with the image that it was written from: `verify IMAGE DEVICE`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from efi_image.errors import UsageError
from efi_image.formats.detect import open_medium
from efi_image.formats.disk import read_disk
from efi_image.inspect.difference import Change, CompareOptions, Difference, compare_disks
from efi_image.io.medium import sector_size_of
from efi_image.verify.finding import DISK, Findings
from efi_image.verify.options import Options
from efi_image.verify.report import Omitted, Report, check_medium

DIFFERS, EXPECTED = "ZPP-W101", "ZPP-W102"
_PARTS = {"image": DISK, "partition fat": "volume"}


def verify_written(image: Path, device: Path, options: Options | None = None) -> Report:
    """Check a device, or a file in its place, and compare it with its image; changes neither.

    The report is the device's; differences are findings, those without a fault are notes.
    Raises InputError if one cannot be read at all or the image is not a known disk, and
    UsageError if both are the same.
    """
    options = options or Options()
    with open_medium(image) as first, open_medium(device) as second:
        if os.path.samestat(os.stat(image), os.stat(device)):  # noqa: PTH116
            raise UsageError("IMAGE and DEVICE are the same", where=str(image))
        if options.sector_size is None:
            options = replace(options, sector_size=sector_size_of(second))
        source = read_disk(first)
        source.require_known()
        report = check_medium(second, options)
        written = read_disk(second)
        findings = Findings(written.sector_size)
        for each in compare_disks(source, written, CompareOptions(progress=options.progress)):
            _add(findings, each)
    return replace(
        report,
        findings=(*report.findings, *findings.found),
        omitted=(*report.omitted, *(Omitted(*row) for row in findings.omitted())),
    )


def _add(findings: Findings, each: Difference) -> None:
    place, _, path = each.where.partition(": ")
    code = EXPECTED if each.cause else DIFFERS
    findings.add(code, _reason(each), part=_PARTS.get(place, place), path=path)


def _reason(each: Difference) -> str:
    if each.change is Change.ADDED:
        reason = f"only the medium has this {each.what}"
    elif each.change is Change.REMOVED:
        reason = f"only the image has this {each.what}"
    elif each.old or each.new:
        reason = f"{each.what}: {each.old} → {each.new}"
    else:
        reason = f"its {each.what} differs"
    return f"{reason}; {each.cause}" if each.cause else reason

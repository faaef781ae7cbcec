"""Compares the claims of `verify` about firmware with OVMF."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import firmware_boot
from firmware_disks import Lab
from firmware_rows import NOTHING, ROWS, VERSIONS
from harness import Harness

from efi_image.verify import Options, repair, verify


def drives(harness: Harness) -> list[firmware_boot.Drive]:
    """An image for every row; `verify` finds the row's fault in it."""
    lab = Lab(harness.folder)
    found = []
    for number, row in enumerate(ROWS):
        image = harness.folder / f"{number}.img"
        firmware_boot.write_sparse(image, firmware_boot.numbered(row.make(lab), number))
        sector_size = row.sector if row.sector != 2048 else None
        report = verify(image, Options(sector_size=sector_size))
        codes = {finding.rule.code.removeprefix("ZPP-") for finding in report.findings}
        assert not row.rule or row.rule in codes, row
        found.append(firmware_boot.Drive(number, image, row.sector))
    return found


def allowed(results: tuple[str, str], version: str) -> set[str]:
    """The expected result of a version in VERSIONS; another version may match either."""
    listed = dict(zip(VERSIONS, results, strict=True))
    return {listed[version]} if version in listed else set(results)


def test_ovmf_does_what_the_table_says(harness: Harness) -> None:
    builds = [firmware_boot.installed(), firmware_boot.newest(harness)]
    disks = drives(harness)
    own = [firmware_boot.own_harness(harness, build) for build in builds]
    with ThreadPoolExecutor(len(builds)) as pool:
        results = pool.map(firmware_boot.started, own, builds, [disks, disks])
    wrong = [
        (build.version, row.rule, row.fault, result.get(number, NOTHING))
        for build, result in zip(builds, results, strict=True)
        for number, row in enumerate(ROWS)
        if result.get(number, NOTHING) not in allowed(row.results, build.version)
    ]
    assert wrong == []


def test_what_starts_does_so_after_a_repair(harness: Harness) -> None:
    build = firmware_boot.installed()
    repaired = [
        disk
        for disk, row in zip(drives(harness), ROWS, strict=True)
        if NOTHING not in row.results and repair(disk.image).fixed
    ]
    assert len(repaired) > 20
    own = firmware_boot.own_harness(harness, build)
    results = firmware_boot.started(own, build, repaired)
    wrong = [
        (ROWS[disk.number].fault, results.get(disk.number, NOTHING))
        for disk in repaired
        if results.get(disk.number, NOTHING)
        not in allowed(ROWS[disk.number].results, build.version)
    ]
    assert wrong == []

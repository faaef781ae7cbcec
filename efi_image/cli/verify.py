"""`zpp-image verify`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import click

from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.progress_bar import ProgressBar
from efi_image.cli.terminal import show
from efi_image.errors import ExitCode, UsageError, printable
from efi_image.formats.pe.uefi import Machine
from efi_image.formats.signature_list import read_keys
from efi_image.verify import (
    Finding,
    Options,
    Repaired,
    Report,
    Severity,
    repair,
    undo,
    verify,
    verify_written,
)
from efi_image.verify.finding import plural
from efi_image.verify.secure_boot import Keys
from efi_image.verify.written import DIFFERS

COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def _finding(finding: Finding, image: str) -> Iterator[str]:
    rule = finding.rule
    severity = click.style(f"{rule.severity.value:7}", fg=COLOURS[rule.severity], bold=True)
    yield f"{rule.code}  {severity}  {printable(str(finding.location))}"
    yield f"          {rule.title}: {printable(finding.reason)}"
    yield f"          {rule.why}"
    yield f"          fix: {printable(finding.advice(image))}"


def _summary(report: Report) -> str:
    counts = [(report.count(severity), severity.value) for severity in Severity]
    said = ", ".join(plural(count, word) for count, word in counts if count)
    return f"{printable(report.image)}: {said or 'clean'}"


def _compared(report: Report, image: Path) -> str:
    """The findings of a device, and whether it has the content of its image."""
    differs = any(finding.rule.code == DIFFERS for finding in report.findings)
    verdict = "it differs from" if differs else "it has the content of"
    return f"{_table(report)}; {verdict} {printable(str(image))}"


def _table(report: Report) -> str:
    lines = [line for finding in report.findings for line in _finding(finding, report.image)]
    lines += [
        f"{row.code}  and {plural(row.count, 'more finding')} in {row.part}"
        for row in report.omitted
    ]
    return "\n".join([*lines, _summary(report)])


def _row(finding: Finding, image: str) -> dict[str, Any]:
    rule, place = finding.rule, finding.location
    return {
        "code": rule.code,
        "severity": rule.severity.value,
        "title": rule.title,
        "part": place.part,
        "offset": place.offset,
        "sector": place.sector,
        "path": place.path,
        "reason": finding.reason,
        "why": rule.why,
        "fix": finding.advice(image),
        "mend": finding.advice(image),  # the old name of `fix`, for one version
        "fixable": finding.fix is not None,
    }


def _document(report: Report) -> dict[str, Any]:
    return {
        "image": report.image,
        "size": report.size,
        "clean": report.clean,
        "findings": [_row(finding, report.image) for finding in report.findings],
        "omitted": [
            {"part": row.part, "code": row.code, "count": row.count} for row in report.omitted
        ],
    }


def _keys(db: tuple[Path, ...], dbx: tuple[Path, ...]) -> Keys | None:
    if dbx and not db:
        raise UsageError("needs --db", where="--dbx")
    return Keys(read_keys(db), read_keys(dbx)) if db else None


def _show_repaired(repaired: Repaired, output: Path) -> str:
    lines = [_table(repaired.before), ""]
    lines += [f"fixed: {printable(line)}" for line in repaired.fixed] or ["nothing to fix"]
    if repaired.undo:
        command = f"zpp-image verify --undo {quote(str(output))}"
        lines += [printable(f"the old bytes are in {repaired.undo}; `{command}` restores them")]
    if repaired.fixed:
        lines += ["", f"{printable(str(output))} afterwards:", _table(repaired.after)]
    return "\n".join(lines)


@click.command("verify")
@click.argument("image", type=PathType(path_type=Path))
@click.argument("device", type=PathType(path_type=Path), required=False)
@click.option(
    "--fix", is_flag=True, help="Repair what can be repaired safely. Without it nothing is written."
)
@click.option(
    "--output",
    type=PathType(path_type=Path),
    metavar="FILE",
    help="With --fix: write a repaired copy to FILE and leave IMAGE unchanged.",
)
@click.option("--undo", "undone", is_flag=True, help="Take back what --fix changed in IMAGE.")
@click.option(
    "--arch",
    "machines",
    multiple=True,
    type=click.Choice([machine.name for machine in Machine], case_sensitive=False),
    help="A machine that must be able to boot from it; repeatable.",
)
@click.option(
    "--sector-size",
    type=click.Choice(["512", "4096"]),
    help="Sector size of the medium that the image is for, in bytes.",
)
@click.option(
    "--db",
    multiple=True,
    type=PathType(path_type=Path),
    metavar="FILE",
    help="Keys that Secure Boot trusts: signature lists, certificates, hashes; repeatable.",
)
@click.option(
    "--dbx",
    multiple=True,
    type=PathType(path_type=Path),
    metavar="FILE",
    help="Keys that Secure Boot refuses; repeatable.",
)
@click.option(
    "--cross-check",
    is_flag=True,
    help="Also read every file with an independent reader (pyfatfs) and compare; slow.",
)
@click.option("--second-opinion", "cross_check", is_flag=True, hidden=True)  # the old name
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    image: Path,
    device: Path | None,
    fix: bool,
    output: Path | None,
    undone: bool,
    machines: tuple[str, ...],
    sector_size: str | None,
    db: tuple[Path, ...],
    dbx: tuple[Path, ...],
    cross_check: bool,
    as_json: bool,
) -> None:
    """Check an image, explain why it does not boot, and repair it.

    Checks partition tables, FAT volumes, the boot path, PE files, zpp.conf and, with --db,
    signatures. Each finding has a rule number (see docs/reference/verify.md), a severity, a
    location, a reason and a fix. The exit code is 1 if there is an error, else 0. --fix keeps
    the bytes that it changes in IMAGE.undo.json.

    With DEVICE, checks that instead, and compares it with IMAGE, from which it was written:
    differences that firmware, systems or `write` cause by themselves are notes, others errors.

    \b
    Examples:
      zpp-image verify esp.img
      zpp-image verify esp.img /dev/sdb
      zpp-image verify --fix --output fixed.img broken.img
      zpp-image verify --db db.esl --dbx dbx.esl --arch X64 esp.img
    """
    if output and not fix:
        raise UsageError("needs --fix", where="--output")
    for given, option in ((fix, "--fix"), (undone, "--undo")):
        if given and device:
            raise UsageError("cannot be used with DEVICE", where=option)
    if undone:
        if fix:
            raise UsageError("cannot be used with --fix", where="--undo")
        count = undo(image)
        click.echo(printable(f"{image}: took back {plural(count, 'change')}"), err=as_json)
    options = Options(
        sector_size=int(sector_size) if sector_size else None,
        machines=tuple(Machine[name.upper()] for name in machines),
        keys=_keys(db, dbx),
        cross_check=cross_check,
    )
    if fix:
        with ProgressBar() as bar:
            repaired = repair(image, output, replace(options, progress=bar.progress))
        document = {**_document(repaired.after), "fixed": list(repaired.fixed),
                    "before": _document(repaired.before)}  # fmt: skip
        text, report = _show_repaired(repaired, output or image), repaired.after
    elif device:
        with ProgressBar() as bar:
            report = verify_written(image, device, replace(options, progress=bar.progress))
        document = {**_document(report), "written_from": str(image)}
        text = _compared(report, image)
    else:
        with ProgressBar() as bar:
            report = verify(image, replace(options, progress=bar.progress))
        document, text = _document(report), _table(report)
    if as_json:
        show_json(document)
    else:
        show(text)
    if not report.clean:
        click.get_current_context().exit(ExitCode.VERDICT)

"""`zpp-image verify`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from efi_image.cli.progress_bar import ProgressBar
from efi_image.errors import ExitCode, UsageError, printable
from efi_image.formats.pe.uefi import Machine
from efi_image.verify import Finding, Mended, Options, Report, Severity, mend, verify
from efi_image.verify.secure_boot import Keys, read_keys

COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def _finding(finding: Finding) -> Iterator[str]:
    rule = finding.rule
    severity = click.style(f"{rule.severity.value:7}", fg=COLOURS[rule.severity], bold=True)
    yield f"{rule.code}  {severity}  {printable(str(finding.place))}"
    yield f"          {rule.title}: {printable(finding.reason)}"
    yield f"          {rule.why}"
    yield f"          mend: {rule.mend}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _summary(report: Report) -> str:
    counts = [(report.count(severity), severity.value) for severity in Severity]
    said = ", ".join(_plural(count, word) for count, word in counts if count)
    return f"{printable(report.image)}: {said or 'clean'}"


def _table(report: Report) -> str:
    lines = [line for finding in report.findings for line in _finding(finding)]
    lines += [
        f"{row.code}  and {_plural(row.count, 'more finding')} in {row.part}"
        for row in report.omitted
    ]
    return "\n".join([*lines, _summary(report)])


def _row(finding: Finding) -> dict[str, Any]:
    rule, place = finding.rule, finding.place
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
        "mend": rule.mend,
        "fixable": finding.fix is not None,
    }


def _document(report: Report) -> dict[str, Any]:
    return {
        "image": report.image,
        "size": report.size,
        "clean": report.clean,
        "findings": [_row(finding) for finding in report.findings],
        "omitted": [
            {"part": row.part, "code": row.code, "count": row.count} for row in report.omitted
        ],
    }


def _keys(db: tuple[Path, ...], dbx: tuple[Path, ...]) -> Keys | None:
    if dbx and not db:
        raise UsageError("is of use only with --db", where="--dbx")
    return Keys(read_keys(db), read_keys(dbx)) if db else None


def _show_mended(mended: Mended, output: Path) -> str:
    lines = [_table(mended.before), ""]
    lines += [f"fixed: {printable(line)}" for line in mended.done] or ["nothing could be fixed"]
    if mended.done:
        lines += ["", f"{printable(str(output))} afterwards:", _table(mended.after)]
    return "\n".join(lines)


@click.command("verify")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Mend what can be mended safely; nothing else writes.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --fix: mend a copy, and leave IMAGE as it is.",
)
@click.option(
    "--arch",
    "machines",
    multiple=True,
    type=click.Choice([machine.name for machine in Machine], case_sensitive=False),
    help="A machine that shall boot from it; may be repeated.",
)
@click.option(
    "--sector-size",
    type=click.Choice(["512", "4096"]),
    help="Sector size of the medium that it is written to.",
)
@click.option(
    "--db",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keys that Secure Boot trusts: signature lists, certificates, hashes; repeatable.",
)
@click.option(
    "--dbx",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keys that Secure Boot refuses; repeatable.",
)
@click.option(
    "--second-opinion",
    is_flag=True,
    help="Let an independent reader (pyfatfs) read every file as well; slow.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    image: Path,
    fix: bool,
    output: Path | None,
    machines: tuple[str, ...],
    sector_size: str | None,
    db: tuple[Path, ...],
    dbx: tuple[Path, ...],
    second_opinion: bool,
    as_json: bool,
) -> None:
    """Say why an image does not boot, and mend it.

    Checks partition tables, FAT volumes, the boot path, PE files, zpp.conf and, with --db,
    signatures. Every finding has a number, explained in docs/reference/verify.md, a severity, a
    place, a reason and a mend. The exit code is 1 if there is an error, else 0.

    \b
    Examples:
      zpp-image verify esp.img
      zpp-image verify --fix --output mended.img broken.img
      zpp-image verify --db db.esl --dbx dbx.esl --arch X64 esp.img
    """
    if output and not fix:
        raise UsageError("is of use only with --fix", where="--output")
    options = Options(
        sector_size=int(sector_size) if sector_size else None,
        machines=tuple(Machine[name.upper()] for name in machines),
        keys=_keys(db, dbx),
        second_opinion=second_opinion,
    )
    if fix:
        with ProgressBar() as bar:
            mended = mend(image, output, replace(options, progress=bar.progress))
        document = {**_document(mended.after), "fixed": list(mended.done),
                    "before": _document(mended.before)}  # fmt: skip
        text, report = _show_mended(mended, output or image), mended.after
    else:
        with ProgressBar() as bar:
            report = verify(image, replace(options, progress=bar.progress))
        document, text = _document(report), _table(report)
    click.echo(json.dumps(document, indent=2) if as_json else text)
    if not report.clean:
        click.get_current_context().exit(ExitCode.VERDICT)

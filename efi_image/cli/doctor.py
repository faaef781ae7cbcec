"""`zpp-image doctor`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from efi_image.cli.json_output import show_json
from efi_image.cli.terminal import columns, show
from efi_image.doctor import linux
from efi_image.doctor.machine import Machine, load, to_text
from efi_image.doctor.report import facts, notes, state_of, verdict_line
from efi_image.doctor.verdict import Verdict, checks, diagnose
from efi_image.errors import ExitCode, InputError, MissingError
from efi_image.io.atomic import atomic, refuse_input
from efi_image.render.text import table


def _document(machine: Machine, verdict: Verdict, remarks: list[str]) -> dict[str, Any]:
    """The diagnosis for programs."""
    first = machine.cpus[0]
    return {
        **asdict(verdict),
        "verdict": verdict_line(verdict, machine),
        "notes": remarks,
        "requirements": [asdict(check) for check in checks(machine)],
        "cpus": len(machine.cpus),
        "cpu_name": first.name,
        "microcode": first.microcode,
        "apic": first.apic,
        "firmware": asdict(machine.firmware),
    }


def _lines(machine: Machine, verdict: Verdict, remarks: list[str]) -> Iterator[str]:
    """The diagnosis for people."""
    for title, words in facts(machine):
        yield f"{title:9} {words}"
    yield ""
    cpus = len(machine.cpus)
    rows = [("ZPP NEEDS", "HERE"), *((c.name, state_of(c, cpus)) for c in checks(machine))]
    yield from table(rows, "<<", columns())
    yield ""
    for remark in remarks:
        yield f"note: {remark}"
    yield verdict_line(verdict, machine)


def _save(path: str, machine: Machine, verdict: Verdict) -> None:
    saved = replace(machine, verdict=verdict.record())
    with atomic(path) as descriptor, os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as stream:
        stream.write(to_text(saved))


@click.command("doctor")
@click.argument("file", required=False)
@click.option("--save", metavar="FILE", help="Record the machine in FILE, without serial numbers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(file: str | None, save: str | None, as_json: bool) -> None:
    """Check whether zpp will run on this machine or a recorded one.

    Without FILE it looks at the running Linux, as root, through the devices of the modules msr
    and cpuid. FILE is what --save wrote, or the file \\EFI\\zpp\\machine.json that ZppBoot wrote
    on another machine. The last line says whether zpp will run there; if not, why, and which
    setting usually helps. The exit code is 1 if it will not run.

    \b
    Examples:
      zpp-image doctor
      zpp-image doctor --save machine.json
      zpp-image doctor --json machine.json
    """
    if file is not None:
        if save is not None:
            refuse_input(Path(save), Path(file))
        machine = load(file)
        remarks = [*notes(machine)]
    elif sys.platform == "linux":
        machine = linux.record()
        remarks = [*notes(machine, linux.offline(), linux.uses_kvm())]
    else:
        raise MissingError(
            "this system does not show what zpp needs to know",
            hint="let ZppBoot record the machine (check = on in zpp.conf), then give that file",
        )
    verdict = diagnose(machine)
    if verdict.runs is None:
        if file is None:
            raise linux.why_no_msrs()
        raise InputError(f"lacks MSRs of CPU {verdict.cpu} that the answer depends on", where=file)
    if save is not None:
        _save(save, machine, verdict)
    if as_json:
        show_json(_document(machine, verdict, remarks))
    else:
        show("\n".join(_lines(machine, verdict, remarks)))
    if not verdict.runs:
        click.get_current_context().exit(ExitCode.VERDICT)

"""The result of `zpp-image run`, in words and as JSON."""

from __future__ import annotations

from pathlib import Path

import click

from efi_image.cli.json_output import show_json as print_json
from efi_image.emulator import BootResult, ExitReason
from efi_image.errors import ZppError, printable


def say(line: str) -> None:
    """Print a line from zpp-image, distinct from the guest's output."""
    click.secho(f"zpp-image: {printable(line)}", err=True, dim=True)


def summary(result: BootResult) -> str:
    line = result.ending
    if result.request.expect and result.reason is not ExitReason.EXPECTED:
        line += f"; {ExitReason.EXPECTED.value}"
    line += f" ({result.seconds:.1f} s)"
    return f"{line}; {result.advice}" if result.advice and not result.request.expect else line


def show_problems(result: BootResult) -> None:
    """Print the problems in the emulator's log."""
    for line in result.problems:
        say(f"{result.emulator}: {line}")


def show_json(result: BootResult, image: Path) -> None:
    """Print the result, and end with the exit code that it has without --json."""
    show_problems(result)
    code, message = 0, ""
    try:
        result.require()
    except ZppError as error:
        code, message = error.exit_code, str(error)
        say(message)
    request = result.request
    document = {
        "image": str(image),  # a traced run boots a copy
        "emulator": result.emulator,
        "cpus": request.cpus,
        "result": result.reason.name.lower().replace("_", "-"),
        "reason": message or result.ending,
        "exit_code": int(code),
        "guest_code": result.guest_code,
        "seconds": round(result.seconds, 3),
        "stages": {name: round(seconds, 3) for name, seconds in result.stages.items()},
        "missing": list(result.missing),
        "problems": list(result.problems),
        "log": str(request.log) if request.log else None,
        "screenshot": str(shot) if (shot := request.devices.screenshot) else None,
    }
    print_json(document)
    click.get_current_context().exit(code)

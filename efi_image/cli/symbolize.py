"""`zpp-image symbolize`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from efi_image.cli.path_type import PathType
from efi_image.config.environment import load
from efi_image.debug.symbolize import symbolize
from efi_image.errors import InputError


@click.command("symbolize")
@click.argument("report", default="-")
@click.option(
    "--symbols",
    type=PathType(path_type=Path),
    metavar="FILE",
    help="hypervisor.debug.elf of the build that crashed.  [default: that of the last build]",
)
def command(report: str, symbols: Path | None) -> None:
    """Add source lines to the addresses in a crash report.

    REPORT is a log with the core's report, or `-` for standard input; its other lines are
    kept. The symbols must be from the same build as the core that wrote the report; the build
    IDs are compared.

    \b
    Examples:
      zpp-image symbolize serial.log
      zpp-image symbolize --symbols out/debug/x86_64/hypervisor.debug.elf -
    """
    config = load()
    file = symbols or config.build_directory / "hypervisor.debug.elf"
    for line in symbolize(_read(report), file, config.toolchain / "llvm-symbolizer"):
        click.echo(line)


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=name) from None
    return data.decode("utf-8", "replace")

"""`zpp-image log`."""

from __future__ import annotations

from pathlib import Path

import click

from efi_image.cli.path_type import PathType
from efi_image.client.hypervisor import FOLDER, read_log


@click.command("log")
@click.argument("folder", type=PathType(path_type=Path), default=FOLDER)
def command(folder: Path) -> None:
    """Print the log of the hypervisor that runs under this Linux.

    zpp.ko must be loaded: with client=1 if ZppBoot started the hypervisor. FOLDER is
    /sys/kernel/debug/zpp, or a copy of it from another machine.

    \b
    Examples:
      zpp-image log
    """
    click.echo(read_log(folder), nl=False)

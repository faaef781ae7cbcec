"""`zpp-image bochs`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.emulator import bochs_install
from efi_image.emulator.bochs_check import boot_divide

_root_option = click.option(
    "--bochs-root",
    type=PathType(path_type=Path),
    metavar="DIR",
    help="Where Bochs is installed (default: BOCHS_ROOT, else ~/.cache/zpp/bochs).",
)


@click.group("bochs")
def command() -> None:
    """Install, check or remove the Bochs emulator.

    Bochs emulates VT-x and AMD-V on any machine. It is unpacked, with OVMF, from packages of a
    newer Debian into a directory of its own, with a library that fixes two of its bugs. This
    needs no root rights.

    \b
    Example:
      zpp-image bochs install
    """


@command.command("install")
@_root_option
@click.option(
    "--mirror", default="", metavar="URI", help="A Debian mirror (default: the one that apt uses)."
)
@click.option("--force", is_flag=True, help="Install again, even if it is up to date.")
def install(bochs_root: Path | None, mirror: str, force: bool) -> None:
    """Install Bochs, or bring it up to date.

    Takes about 20 seconds and 550 MB, and downloads from a Debian mirror. Exit code 6: it
    cannot be downloaded.

    \b
    Example:
      zpp-image bochs install --bochs-root /opt/bochs
    """
    root = bochs_root or bochs_install.default_root()
    installed = bochs_install.install(root, mirror=mirror, force=force, progress=click.echo)
    click.echo(f"Bochs is installed in {installed.root}")


@command.command("check")
@_root_option
@click.option("--quick", is_flag=True, help="Do not boot the program.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def check(bochs_root: Path | None, quick: bool, as_json: bool) -> None:
    """Check that Bochs is complete and works.

    Runs Bochs with the library that fixes it, then boots a small EFI program that divides.

    \b
    Example:
      zpp-image bochs check --quick
    """
    installed = bochs_install.find(bochs_root or bochs_install.default_root())
    bochs_install.check_library(installed)
    seconds = None
    if not quick:
        seconds = boot_divide(installed).seconds
    if as_json:
        show_json({"root": str(installed.root), "seconds": seconds, **asdict(installed.version)})
        return
    click.echo(f"{installed.root}: {installed.version.summary}; the library works")
    if seconds is not None:
        click.echo(f"a boot under OVMF divides correctly and powers off ({seconds:.1f} s)")


@command.command("remove")
@_root_option
def remove(bochs_root: Path | None) -> None:
    """Remove Bochs; refuse a directory that zpp-image did not make.

    \b
    Example:
      zpp-image bochs remove
    """
    root = bochs_root or bochs_install.default_root()
    click.echo(f"{root}: removed" if bochs_install.remove(root) else f"{root}: not installed")

"""`zpp-image bochs`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from efi_image.emulator import bochs_install as rigs
from efi_image.emulator.bochs_check import boot_divide

_root_option = click.option(
    "--bochs-root",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the installation.  [default: BOCHS_ROOT, else ~/.cache/zpp/bochs]",
)


@click.group("bochs")
def command() -> None:
    """Install, check or remove the Bochs emulator.

    Bochs emulates VT-x and AMD-V on any machine. The installation is a folder with Bochs and
    OVMF from a newer Debian, and a library that fixes two faults of that Bochs; it needs no
    administrator rights.

    \b
    Example:
      zpp-image bochs install
    """


@command.command("install")
@_root_option
@click.option("--mirror", default="", metavar="URI", help="Debian mirror.  [default: that of apt]")
@click.option("--force", is_flag=True, help="Install again even if it is installed.")
def install(bochs_root: Path | None, mirror: str, force: bool) -> None:
    """Install Bochs, or update it; does nothing if it is up to date.

    Takes about 15 seconds and 430 MB.

    \b
    Example:
      zpp-image bochs install --bochs-root /opt/bochs
    """
    root = bochs_root or rigs.default_root()
    rig = rigs.install(root, mirror=mirror, force=force, progress=click.echo)
    click.echo(f"Bochs is installed in {rig.root}")


@command.command("check")
@_root_option
@click.option("--quick", is_flag=True, help="Skip the boot.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def check(bochs_root: Path | None, quick: bool, as_json: bool) -> None:
    """Check that the installation is complete and works.

    Runs Bochs with the library that fixes it, then boots a small EFI program that divides.

    \b
    Example:
      zpp-image bochs check --quick
    """
    rig = rigs.find(bochs_root or rigs.default_root())
    rigs.check_library(rig)
    seconds = None
    if not quick:
        seconds = boot_divide(rig).seconds
    if as_json:
        click.echo(
            json.dumps({"root": str(rig.root), "seconds": seconds, **asdict(rig.version)}, indent=2)
        )
        return
    click.echo(f"{rig.root}: {rig.version.summary}; the library is active")
    if seconds is not None:
        click.echo(f"a boot under OVMF divides correctly and powers off ({seconds:.1f} s)")


@command.command("remove")
@_root_option
def remove(bochs_root: Path | None) -> None:
    """Remove the installation; removes only files that zpp-image installed.

    \b
    Example:
      zpp-image bochs remove
    """
    root = bochs_root or rigs.default_root()
    click.echo(f"{root}: removed" if rigs.remove(root) else f"{root}: not installed")

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
    help="The root's place (default: BOCHS_ROOT, else ~/.cache/zpp/bochs).",
)


@click.group("bochs")
def command() -> None:
    """Install, check or remove the Bochs emulator's root.

    Bochs emulates VT-x on any machine. Its root is a folder with Bochs and OVMF of a newer
    Debian, and a library that mends two faults of that Bochs; no administrator's rights are
    needed.

    \b
    Example:
      zpp-image bochs install
    """


@command.command("install")
@_root_option
@click.option("--mirror", default="", metavar="URI", help="Debian's mirror (default: apt's own).")
@click.option("--force", is_flag=True, help="Make the root anew even if it is there.")
def install(bochs_root: Path | None, mirror: str, force: bool) -> None:
    """Install the root, or bring it up to date; nothing happens if it is there.

    Takes about 15 seconds and 430 MB.

    \b
    Example:
      zpp-image bochs install --bochs-root /opt/bochs
    """
    root = bochs_root or rigs.default_root()
    rig = rigs.install(root, mirror=mirror, force=force, progress=click.echo)
    click.echo(f"the Bochs root is in {rig.root}")


@command.command("check")
@_root_option
@click.option("--quick", is_flag=True, help="Do not boot anything.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def check(bochs_root: Path | None, quick: bool, as_json: bool) -> None:
    """Check that the root is complete and works.

    Runs Bochs with the library that mends it, then boots a small EFI program that divides.

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
    click.echo(f"{rig.root}: {rig.version.summary}; the library is in effect")
    if seconds is not None:
        click.echo(f"a boot under OVMF divides correctly and powers off ({seconds:.1f} s)")


@command.command("remove")
@_root_option
def remove(bochs_root: Path | None) -> None:
    """Remove the root; nothing that zpp-image did not make is removed.

    \b
    Example:
      zpp-image bochs remove
    """
    root = bochs_root or rigs.default_root()
    click.echo(f"{root}: removed" if rigs.remove(root) else f"{root}: not installed")

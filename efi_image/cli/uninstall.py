"""`zpp-image uninstall`."""

from __future__ import annotations

from pathlib import Path

import click

from efi_image.cli.install import printable_lines
from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.terminal import show
from efi_image.install.uninstaller import UninstallReport, uninstall


def _lines(report: UninstallReport) -> list[str]:
    lines = []
    if report.options:
        order = ", ".join(report.boot_order) or "empty"
        lines.append(f"{', '.join(report.options)} deleted; the boot order is {order}")
    if report.removed:
        lines.append(f"{report.esp}: {', '.join(report.removed)} removed from \\EFI\\zpp")
    if not lines:
        lines.append(f"{report.esp}: zpp is not installed")
    lines += [f"\\EFI\\zpp\\{name}: left, because it is not from zpp-image" for name in
              (name.replace("/", "\\") for name in report.left)]  # fmt: skip
    return lines


@click.command("uninstall")
@click.option("--esp", required=True, metavar="DIR", type=PathType(path_type=Path),
              help="Mount point of the EFI system partition, such as /boot/efi.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(esp: Path, as_json: bool) -> None:
    """Remove zpp from this machine's ESP and from its boot options.

    It removes what `zpp-image install` and ZppBoot wrote, and nothing else: other files in
    \\EFI\\zpp, and those that you changed, are named and stay. The boot order is then as it was
    before zpp. It runs on Linux, as root.

    \b
    Example:
      zpp-image uninstall --esp /boot/efi
    """
    report = uninstall(esp)
    if as_json:
        show_json(report)
    else:
        show(printable_lines(_lines(report)))

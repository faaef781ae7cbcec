"""`zpp-image install`."""

from __future__ import annotations

from pathlib import Path

import click

from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.terminal import show
from efi_image.config.environment import load
from efi_image.config.resolve import resolve
from efi_image.config.settings import Settings, merge
from efi_image.errors import printable
from efi_image.formats.zpp_conf import ZppConf
from efi_image.install.installer import InstallReport, install


def _lines(report: InstallReport) -> list[str]:
    done = f"{', '.join(report.written)} written" if report.written else "all files are up to date"
    lines = [f"{report.esp}: {done} in \\EFI\\zpp"]
    lines += [f"{name}: kept, because you changed it" for name in report.kept]
    lines.append(f"{report.option} 'zpp' is the first boot option")
    if report.starts:
        lines.append(f"zpp will start the next one: {report.starts}")
    else:
        lines.append("there is no other boot option: zpp will search the disks for a boot loader")
    return lines


@click.command("install")
@click.option("--esp", required=True, metavar="DIR", type=PathType(path_type=Path),
              help="Mount point of the EFI system partition, such as /boot/efi.")  # fmt: skip
@click.option(
    "--build-dir",
    metavar="DIR",
    type=PathType(path_type=Path),
    help="Folder of ZppBoot.efi and ZppDxe.efi.  [default: out/CONFIGURATION/ARCHITECTURE]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(esp: Path, build_dir: Path | None, as_json: bool) -> None:
    """Put zpp on this machine's ESP, as the first boot option.

    zpp then starts the option that was the first until now, under the hypervisor. Other files
    and boot options stay as they are; `zpp-image uninstall` removes zpp again. If zpp is there
    already, it is updated, and a zpp.conf that you changed is kept. It runs on Linux, as root.
    Whenever it is interrupted, the machine still boots. Exit code 5: no room; 6: the firmware's
    variables are not there; 9: not an ESP, another file is in the way, or Secure Boot would
    refuse zpp.

    \b
    Examples:
      zpp-image install --esp /boot/efi
      zpp-image install --esp /boot/efi --build-dir signed
    """
    options = resolve(merge(load(), Settings()))
    conf = ZppConf(
        serial=options.serial_port,
        menu_timeout=options.menu_timeout,
        boot_tries=options.boot_tries,
    )
    report = install(esp, build_dir or options.build_directory, conf)
    if as_json:
        show_json(report)
    else:
        show(printable_lines(_lines(report)))


def printable_lines(lines: list[str]) -> str:
    """Lines with names from a disk or the firmware, harmless to a terminal."""
    return "\n".join(map(printable, lines))

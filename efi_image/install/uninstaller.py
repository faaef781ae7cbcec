"""Removes zpp from a mounted ESP and from the firmware's boot order.

The boot option goes first and the record of our files last: an interrupted removal can be
repeated, and the firmware never has an option that starts a part of zpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from efi_image.devices.efivars import ZPP, Efivars, option_name
from efi_image.install.boot_options import own_options
from efi_image.install.changes import remove, remove_folder
from efi_image.install.esp import Esp, Machine, find_esp
from efi_image.install.folder import CONF, LOGS, RECORD, Folder


@dataclass(frozen=True, slots=True)
class UninstallReport:
    """What `uninstall` did; paths in \\EFI\\zpp. `left` are files that are not ours."""

    esp: str
    device: str
    options: tuple[str, ...]
    boot_order: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]


def uninstall(path: str | Path, machine: Machine | None = None) -> UninstallReport:
    """Remove our boot option and our files; raises as `install`."""
    machine = machine or Machine()
    esp = find_esp(path, machine)
    efivars = machine.efivars
    efivars.require()
    folder = Folder(esp.path)
    ours, foreign = folder.split(folder.record())
    options = _remove_options(efivars, esp)
    # zpp.conf first, as it names the driver
    for name in sorted(ours, key=lambda name: name != CONF):
        remove(folder.at(name))
    if folder.path.is_dir():
        remove_folder(folder.at(LOGS))
        remove(folder.at(RECORD))
        remove_folder(folder.path)
    return UninstallReport(
        esp=str(path),
        device=esp.device,
        options=tuple(map(option_name, options)),
        boot_order=tuple(map(option_name, efivars.boot_order())),
        removed=tuple(ours),
        left=tuple(foreign),
    )


def _remove_options(efivars: Efivars, esp: Esp) -> list[int]:
    ours = own_options(efivars, esp)
    order = efivars.boot_order()
    rest = [number for number in order if number not in ours]
    if rest != order:
        efivars.set_boot_order(rest)
    once = efivars.read("BootNext")
    if once and int.from_bytes(once.data, "little") in ours:
        efivars.remove("BootNext")
    for number in ours:
        efivars.remove(option_name(number))
    for name in efivars.names(ZPP) if ours else ():
        efivars.remove(name, ZPP)
    return ours

"""Puts zpp on a mounted ESP, and first into the firmware's boot order.

The files come first and the boot order last, so that whenever it is interrupted, the firmware
starts either what it started before, or a complete zpp. What fails is undone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from efi_image.devices.efivars import PERSISTENT, Efivars, Variable, option_name
from efi_image.errors import BUILD_HINT, DoesNotFitError, InputError, UnsafeTarget
from efi_image.formats.load_option import LoadOption, file_device_path
from efi_image.formats.pe import uefi
from efi_image.formats.pe.uefi import Role
from efi_image.formats.zpp_conf import ZppConf
from efi_image.install.boot_options import free_number, load_option, next_option, own_options
from efi_image.install.changes import Changes
from efi_image.install.esp import Esp, Machine, find_esp
from efi_image.install.folder import (
    CONF,
    DRIVER,
    PROGRAM,
    PROGRAM_PATH,
    RECORD,
    Folder,
    Hashes,
    digest,
    record_text,
    united,
)
from efi_image.install.secure import check_secure_boot
from efi_image.io.source import BytesSource, FileSource
from efi_image.render.text import human

_DESCRIPTION = "zpp"
_PROGRAMS = ((DRIVER, Role.DRIVER), (PROGRAM, Role.APPLICATION))
_FOLDERS = 2  # clusters for \EFI and \EFI\zpp


@dataclass(frozen=True, slots=True)
class InstallReport:
    """What `install` did: files in \\EFI\\zpp, the boot option, and what starts under zpp.

    `starts` is the next boot option's description, '' if there is none.
    """

    esp: str
    device: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    option: str
    boot_order: tuple[str, ...]
    starts: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """The files to write, in order, and the records before and after."""

    files: dict[str, bytes]
    kept: tuple[str, ...]
    before: Hashes
    after: Hashes


def install(
    path: str | Path, build_directory: Path, conf: ZppConf, machine: Machine | None = None
) -> InstallReport:
    """Put zpp on the ESP that is mounted there, or update it.

    Raises UnsafeTarget if the place or the machine is not safe, DoesNotFitError without room,
    MissingError without the firmware's variables, InputError for the programs, OutputError.
    """
    machine = machine or Machine()
    esp = find_esp(path, machine)
    efivars = machine.efivars
    efivars.require()
    if machine.firmware_bits == 32:
        raise UnsafeTarget(
            "has 32-bit UEFI, which cannot start zpp's 64-bit programs", where="this machine"
        )
    contents = _programs(build_directory, efivars)
    contents[CONF] = conf.to_text().encode("ascii")
    folder = Folder(esp.path)
    plan = _plan(folder, contents)
    _check_room(esp, plan)
    with Changes() as changes:
        _write(folder, plan, changes)
        number, order = _set_option(efivars, esp, changes)
    following = next_option(efivars, [each for each in order if each != number])
    return InstallReport(
        esp=str(path),
        device=esp.device,
        written=tuple(plan.files),
        kept=plan.kept,
        option=option_name(number),
        boot_order=tuple(map(option_name, order)),
        starts=following[1].description if following else "",
    )


def _programs(directory: Path, efivars: Efivars) -> dict[str, bytes]:
    """ZppDxe and ZppBoot, which this firmware starts."""
    found = {}
    for name, role in _PROGRAMS:
        try:
            file = FileSource.open(directory / name)
        except InputError as error:
            raise InputError(error.what, where=error.where, hint=BUILD_HINT) from None
        source = BytesSource(file.name, file.read_at(0, file.size))
        uefi.check(source, role)
        check_secure_boot(efivars, source)
        found[name] = source.data
    return found


def _plan(folder: Folder, contents: dict[str, bytes]) -> _Plan:
    record = folder.record()
    files: dict[str, bytes] = {}
    kept: list[str] = []
    after: dict[str, frozenset[str]] = {}
    for name, data in contents.items():
        new = frozenset({digest(data)})
        current = folder.current(name)
        if current and current not in new | record.get(name, frozenset()):
            if name != CONF or name not in record:
                raise folder.foreign(name)
            kept.append(name)  # the user's own settings
            after[name] = record[name]
            continue
        after[name] = new
        if current not in new:
            files[name] = data
    return _Plan(files, tuple(kept), record, after)


def _check_room(esp: Esp, plan: _Plan) -> None:
    """Old and new content of the files exist at the same time."""
    room = os.statvfs(esp.path)
    cluster = room.f_frsize
    sizes = [len(data) for data in plan.files.values()]
    sizes += [len(record_text(united(plan.before, plan.after)))] * 2
    needed = sum(-(-size // cluster) * cluster for size in sizes) + _FOLDERS * cluster
    free = room.f_bavail * cluster
    if plan.files and needed > free:
        raise DoesNotFitError(
            f"has {human(free)} free, zpp needs {human(needed)}", where=str(esp.path),
            hint="delete files there that you do not need",
        )  # fmt: skip


def _write(folder: Folder, plan: _Plan, changes: Changes) -> None:
    """The record names a content before it is there, and forgets one after it is gone."""
    both = united(plan.before, plan.after) if plan.files else plan.after
    for each in (folder.path.parent, folder.path):
        changes.make_folder(each)
    written = plan.before
    if both != written:
        changes.write(folder.at(RECORD), record_text(both))
        written = both
    for name, data in plan.files.items():
        changes.write(folder.at(name), data)
    if plan.after != written:
        changes.write(folder.at(RECORD), record_text(plan.after))


def _set_option(efivars: Efivars, esp: Esp, changes: Changes) -> tuple[int, list[int]]:
    """Make our option the first; returns its number and the order."""
    wanted = LoadOption(_DESCRIPTION, file_device_path(esp.partition, PROGRAM_PATH))
    ours = own_options(efivars, esp)
    number = ours[0] if ours else free_number(efivars)
    name = option_name(number)
    old = load_option(efivars, number) if ours else None
    if old is None or not old.is_bootable:
        before = efivars.read(name)
        changes.later(lambda: efivars.write(name, before) if before else efivars.remove(name))
        efivars.write(name, Variable(PERSISTENT, wanted.pack()))
    old_order = efivars.boot_order()
    order = [number, *(each for each in old_order if each != number)]
    if order != old_order:
        changes.later(lambda: efivars.set_boot_order(old_order))
        efivars.set_boot_order(order)
    return number, order

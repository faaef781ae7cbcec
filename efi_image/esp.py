"""What stands on an ESP that boots with zpp: the built programs, zpp.conf, and more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from efi_image import pe
from efi_image.conf import CONF_PATH, DRIVER_PATH, BootEntry, ZppConf
from efi_image.errors import InputError, UsageError
from efi_image.fat import parse_path
from efi_image.image import Item
from efi_image.pe import Machine, Role
from efi_image.source import BytesSource, FileSource

BOOT_PATH = "\\EFI\\BOOT\\BOOTX64.EFI"
KERNEL_PATH = "\\EFI\\zpp\\kernel.efi"
INITRD_PATH = "\\EFI\\zpp\\initrd.img"
BUILT = ((BOOT_PATH, "ZppBoot.efi", Role.APPLICATION), (DRIVER_PATH, "ZppDxe.efi", Role.DRIVER))


@dataclass(frozen=True)
class Addition:
    """A file or a directory that is put on the image as well."""

    source: str
    target: str

    @classmethod
    def parse(cls, text: str) -> Addition:
        """SOURCE:TARGET; a TARGET on FAT has no colon, so the last one divides."""
        source, colon, target = text.rpartition(":")
        if not colon or not source:
            raise UsageError("expected SOURCE:TARGET", where=text)
        if not target.strip("\\/") or target[-1] in "\\/":
            target = target.rstrip("\\/") + "/" + Path(source).name
        return cls(source, target)


@dataclass(frozen=True)
class EspOptions:
    """What goes onto the ESP beside the programs from the build directory."""

    build_directory: Path
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""
    additions: tuple[Addition, ...] = ()
    hypervisor: bool = True
    serial: int = 0x3F8


def _item(target: str, source: FileSource | BytesSource) -> Item:
    return Item(parse_path(target), source)


def _built(directory: Path) -> Iterator[Item]:
    for target, name, role in BUILT:
        try:
            source = FileSource.open(directory / name)
        except InputError as error:
            raise InputError(error.what, where=error.where, hint="`make` builds it") from None
        pe.check(source, role)
        yield _item(target, source)


def _conf(options: EspOptions) -> ZppConf:
    entries: tuple[BootEntry, ...] = ()
    if options.kernel:
        initrd = INITRD_PATH if options.initrd else ""
        entries = (BootEntry("kernel", KERNEL_PATH, initrd, options.cmdline),)
    return ZppConf(
        hypervisor=options.hypervisor,
        serial=options.serial,
        default=entries[0].name if entries else "",
        entries=entries,
    )


def _kernel(options: EspOptions) -> Iterator[Item]:
    if not options.kernel:
        for option, value in (("--initrd", options.initrd), ("--cmdline", options.cmdline)):
            if value:
                raise UsageError("is of use only with --kernel", where=option)
        return
    kernel = FileSource.open(options.kernel)
    try:
        pe.check(kernel, Role.APPLICATION)
    except InputError as error:
        hint = "a Linux kernel needs its EFI stub (CONFIG_EFI_STUB)" if pe.is_linux(kernel) else ""
        raise type(error)(error.what, where=error.where, hint=error.hint or hint) from None
    yield _item(KERNEL_PATH, kernel)
    if options.initrd:
        yield _item(INITRD_PATH, FileSource.open(options.initrd))


def _tree(source: str, target: tuple[str, ...]) -> Iterator[Item]:
    """A file, or all files of a directory; links to files are followed."""
    if not Path(source).is_dir():
        yield Item(target, FileSource.open(source))
        return
    try:
        with os.scandir(source) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=source) from None
    for entry in listed:
        if entry.is_symlink() and entry.is_dir():
            raise InputError("is a link to a directory; FAT has no links", where=entry.path)
        yield from _tree(entry.path, (*target, *parse_path(entry.name)))


def _added(additions: Sequence[Addition]) -> list[Item]:
    return [
        item
        for addition in additions
        for item in _tree(addition.source, parse_path(addition.target))
    ]


def contents(options: EspOptions) -> list[Item]:
    """All files of the ESP, checked; raises InputError or UsageError."""
    items = [*_built(options.build_directory)]
    conf = _conf(options).to_text().encode("ascii")
    items.append(_item(CONF_PATH, BytesSource("zpp.conf", conf)))
    items += _kernel(options)
    added = _added(options.additions)
    machines = {Machine.X64} | {m for item in added if (m := pe.boot_machine(item.path))}
    for item in added:
        pe.check_place(item.path, item.source, machines)
    return items + added

"""What stands on an ESP: the built programs, zpp.conf, programs of others, and more."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from efi_image.build.image import Item
from efi_image.errors import InputError, UsageError
from efi_image.formats.fat import parse_path, show_path
from efi_image.formats.fat.names import check_names
from efi_image.formats.pe import uefi as pe
from efi_image.formats.pe.uefi import Machine, Role
from efi_image.formats.zpp_conf import CONF_PATH, DRIVER_PATH, BootEntry, ZppConf
from efi_image.io.source import BytesSource, FileSource, Reader

BOOT_PATH = "\\EFI\\BOOT\\BOOTX64.EFI"
KERNEL_PATH = "\\EFI\\zpp\\kernel.efi"
INITRD_PATH = "\\EFI\\zpp\\initrd.img"
BUILT = ((BOOT_PATH, "ZppBoot.efi", Role.APPLICATION), (DRIVER_PATH, "ZppDxe.efi", Role.DRIVER))


def _name(source: str) -> str:
    """The last part of a path; '' if that is no name."""
    parts = [part for part in source.replace(os.altsep or os.sep, os.sep).split(os.sep) if part]
    named = [part for part in parts if part != os.curdir]
    return named[-1] if named else ""


@dataclass(frozen=True, slots=True)
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
        return cls(source, target)

    def expanded(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every file or directory that is meant, with its path on the image.

        A target that is empty or ends with a slash is a directory to put it in. A source
        may be a pattern with `*`, `?` and `[…]`, and `**` for all files below; what it
        matches goes into the target with its path from the pattern's first part on.
        """
        if "\0" in self.source:
            raise InputError("cannot be read: embedded null byte", where=self.source)
        below = parse_path(self.target) if self.target.strip("\\/") else ()
        if not any(c in self.source for c in "*?[") or os.path.exists(self.source):
            into = not below or self.target[-1] in "\\/"
            yield self.source, (*below, *parse_path(_name(self.source))) if into else below
            return
        yield from self._matching(below)

    def _matching(self, below: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """What the source matches as a pattern."""

        parts = Path(self.source).parts
        fixed = next(n for n, part in enumerate(parts) if any(c in part for c in "*?["))
        found = 0
        for match in sorted(glob.glob(self.source, recursive=True)):
            if "**" in parts and Path(match).is_dir():
                continue
            found += 1
            names = [name for part in Path(match).parts[fixed:] for name in parse_path(part)]
            yield match, (*below, *names)
        if not found:
            raise InputError("nothing matches", where=self.source)


@dataclass(frozen=True, slots=True)
class EspOptions:
    """What goes onto the ESP.

    `bare`: no file of zpp. `boots` are EFI programs, such as UKIs, that the firmware of
    their machine starts by itself.
    """

    build_directory: str | Path
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""
    additions: tuple[Addition, ...] = ()
    hypervisor: bool = True
    serial: int = 0x3F8
    bare: bool = False
    boots: tuple[str, ...] = ()


def _item(target: str, source: FileSource | BytesSource) -> Item:
    return Item(parse_path(target), source)


def _built(directory: str | Path) -> Iterator[Item]:
    for target, name, role in BUILT:
        try:
            source = FileSource.open(os.path.join(directory, name))
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
    if not os.path.isdir(source):
        yield Item(target, FileSource.open(source))
        return
    reader = Reader()
    waiting = [(source, target)]
    while waiting:
        directory, path = waiting.pop()
        listed = _listed(directory)
        check_names([entry.name for entry in listed], directory)
        for entry in listed:
            name = entry.name
            if entry.is_file(follow_symlinks=False):
                yield Item((*path, name), reader.source(entry.path))
            elif not entry.is_dir():
                yield Item((*path, name), FileSource.open(entry.path))
            elif entry.is_symlink():
                raise InputError("is a link to a directory; FAT has no links", where=entry.path)
            else:
                waiting.append((entry.path, (*path, name)))


def _listed(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=attrgetter("name"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=directory) from None


def _added(additions: Sequence[Addition]) -> list[Item]:
    return [
        item
        for addition in additions
        for source, target in addition.expanded()
        for item in _tree(source, target)
    ]


def _boots(options: EspOptions) -> Iterator[Item]:
    """Programs at the place where the firmware of their machine looks."""
    for name in options.boots:
        source = FileSource.open(name)
        machine = pe.identify(source).machine
        path = ("EFI", "BOOT", f"BOOT{machine.name}.EFI")
        if machine is Machine.X64 and not options.bare:
            raise UsageError(
                f"ZppBoot is {show_path(path)} already",
                where=name,
                hint="start it by --kernel, or leave zpp out with --hypervisor none",
            )
        pe.check_place(path, source, ())
        yield Item(path, source)


def _zpp(options: EspOptions) -> Iterator[Item]:
    """The files of zpp, and what ZppBoot shall start."""
    yield from _built(options.build_directory)
    conf = _conf(options).to_text().encode("ascii")
    yield _item(CONF_PATH, BytesSource("zpp.conf", conf))
    yield from _kernel(options)


def contents(options: EspOptions) -> list[Item]:
    """All files of the ESP, checked; raises InputError or UsageError."""
    if options.bare and options.kernel:
        raise UsageError(
            "is started by ZppBoot, which is left out",
            where="--kernel",
            hint="use --boot for a UKI or another EFI program",
        )
    items = [*_kernel(options)] if options.bare else [*_zpp(options)]
    items += _boots(options)
    added = _added(options.additions)
    programs = [item for item in added if pe.is_program(item.path)]
    machines = {m for item in [*items, *programs] if (m := pe.boot_machine(item.path))}
    machines = machines or set(Machine)
    for item in programs:
        pe.check_place(item.path, item.source, machines)
    return items + added

"""The files of the ESP: the built programs, zpp.conf, other boot programs, and added files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from efi_image.build.options import Addition, Hypervisor, ResolvedOptions
from efi_image.errors import BUILD_HINT, InputError, UsageError
from efi_image.formats.fat import Tree, parse_path
from efi_image.formats.fat.names import check_name
from efi_image.formats.files import show_path
from efi_image.formats.initrd import initrd_fault
from efi_image.formats.loader_entry import entry_id, matches
from efi_image.formats.pe import uefi
from efi_image.formats.pe.uefi import Machine, Role
from efi_image.formats.zpp_conf import (
    CONF_PATH,
    DRIVER_PATH,
    BootEntry,
    ZppConf,
    is_loader_entry,
)
from efi_image.io.source import BytesSource, FileSource, Source

BOOT_PATH = "\\EFI\\BOOT\\BOOTX64.EFI"
KERNEL_PATH = "\\EFI\\zpp\\kernel.efi"
KERNEL_ENTRY = "kernel"
INITRD_PATH = "\\EFI\\zpp\\initrd.img"
BUILT = ((BOOT_PATH, "ZppBoot.efi", Role.APPLICATION), (DRIVER_PATH, "ZppDxe.efi", Role.DRIVER))

# a path on the volume (checked names), and the bytes there
Placed = tuple[tuple[str, ...], Source]


def contents(options: ResolvedOptions) -> Tree:
    """All files of the ESP, checked; raises InputError, UsageError or DoesNotFitError."""
    files: list[Placed] = []
    if options.hypervisor is not Hypervisor.NONE:
        files += [*_built(options.build_directory), _conf(options)]
    files += _kernel(options)
    files += _boot_programs(options)
    added = [placed for addition in options.files for placed in _added(addition)]
    _check_programs(files, added)
    _check_default(options, [path for path, _ in files + added])
    tree = Tree()
    for path, source in files + added:
        tree.add(path, source)
    return tree


def _check_programs(files: list[Placed], added: list[Placed]) -> None:
    """Refuse added EFI programs for a machine that the image does not boot."""
    programs = [placed for placed in added if uefi.is_program(placed[0])]
    machines = {m for path, _ in [*files, *programs] if (m := uefi.boot_machine(path))}
    for path, source in programs:
        uefi.check_place(path, source, machines or set(Machine))


def _check_default(options: ResolvedOptions, paths: list[tuple[str, ...]]) -> None:
    """Refuse a default entry that the image does not have."""
    wanted = options.default_entry
    if not wanted or (options.kernel and wanted == KERNEL_ENTRY):
        return
    where = options.where("default")
    if options.hypervisor is Hypervisor.NONE:
        raise UsageError("needs ZppBoot, which --hypervisor none leaves out", where=where)
    if not is_loader_entry(wanted):
        raise UsageError(
            f"'{wanted}' is not the name of a loader entry",
            where=where,
            hint="write its file name, such as debian.conf, or a pattern, such as 'debian-*'",
        )
    if not any(matches(entry_id(path), wanted) for path in paths if entry_id(path)):
        raise UsageError(
            f"no loader entry on the image matches '{wanted}'",
            where=where,
            hint="add it with --add, such as loader:/",
        )


def _built(directory: Path) -> Iterator[Placed]:
    for target, name, role in BUILT:
        try:
            source = FileSource.open(directory / name)
        except InputError as error:
            raise InputError(error.what, where=error.where, hint=BUILD_HINT) from None
        uefi.check(source, role)
        yield parse_path(target), source


def _conf(options: ResolvedOptions) -> Placed:
    """zpp.conf: whether to start the hypervisor, and the kernel to boot."""
    entries: tuple[BootEntry, ...] = ()
    if options.kernel:
        initrd = INITRD_PATH if options.initrd else ""
        entries = (BootEntry(KERNEL_ENTRY, KERNEL_PATH, initrd, options.cmdline),)
    conf = ZppConf(
        hypervisor=options.hypervisor is Hypervisor.ON,
        serial=options.serial_port,
        visible=options.visible,
        reset_after=options.reset_after,
        menu_timeout=options.menu_timeout,
        boot_tries=options.boot_tries,
        default=options.default_entry or (entries[0].name if entries else ""),
        entries=entries,
    )
    return parse_path(CONF_PATH), BytesSource("zpp.conf", conf.to_text().encode("ascii"))


def _kernel(options: ResolvedOptions) -> Iterator[Placed]:
    if not options.kernel:
        return
    kernel = FileSource.open(options.kernel)
    try:
        uefi.check(kernel, Role.APPLICATION)
    except InputError as error:
        hint = "build the kernel with CONFIG_EFI_STUB=y" if uefi.is_linux(kernel) else ""
        raise type(error)(error.what, where=error.where, hint=error.hint or hint) from None
    yield parse_path(KERNEL_PATH), kernel
    if options.initrd:
        initrd = FileSource.open(options.initrd)
        what, hint = initrd_fault(initrd.read_at, initrd.size)
        if what:
            raise InputError(what, where=initrd.name, hint=hint)
        yield parse_path(INITRD_PATH), initrd


def _boot_programs(options: ResolvedOptions) -> Iterator[Placed]:
    """Programs at the path that their machine's firmware starts from a removable medium."""
    for name in options.boot:
        source = FileSource.open(name)
        machine = uefi.identify(source).machine
        path = ("EFI", "BOOT", f"BOOT{machine.name}.EFI")
        if machine is Machine.X64 and options.hypervisor is not Hypervisor.NONE:
            raise UsageError(
                f"ZppBoot is {show_path(path)} already",
                where=str(name),
                hint="start it with --kernel, or leave zpp out with --hypervisor none",
            )
        uefi.check_place(path, source, ())
        yield path, source


# ---- added files


def _added(addition: Addition) -> Iterator[Placed]:
    """Every file that an addition stands for.

    A target that is empty or ends with a slash is a directory to put it in. A source may be
    a pattern with `*`, `?` and `[…]`, and `**` for all files below; what it matches goes
    into the target with its path from the pattern's first part on.
    """
    source = addition.source
    if "\0" in str(source):
        raise InputError("cannot be read: its name contains a NUL", where=str(source))
    below = parse_path(addition.target) if addition.target.strip("\\/") else ()
    # os.path says False where Path would raise, such as for a name that is too long
    if any(c in str(source) for c in "*?[") and not os.path.exists(source):  # noqa: PTH110
        for match, names in _matching(source):
            yield from _tree(match, (*below, *names))
    else:
        into = not below or addition.target[-1] in "\\/"
        yield from _tree(source, (*below, *parse_path(source.name)) if into else below)


def _matching(pattern: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The files that match a pattern, with their paths from the pattern's first part on."""
    fixed = next(n for n, part in enumerate(pattern.parts) if any(c in part for c in "*?["))
    found = False
    # Path.glob takes hidden files as well
    for match in map(Path, sorted(glob.glob(str(pattern), recursive=True))):  # noqa: PTH207
        if "**" in pattern.parts and match.is_dir():
            continue
        found = True
        yield match, tuple(name for part in match.parts[fixed:] for name in parse_path(part))
    if not found:
        raise InputError("nothing matches", where=str(pattern))


def _tree(source: Path, target: tuple[str, ...]) -> Iterator[Placed]:
    """A file, or all files of a directory; links to files are followed."""
    if not os.path.isdir(source):  # noqa: PTH112
        yield target, FileSource.open(source)
        return
    waiting = [(str(source), target)]
    while waiting:
        directory, path = waiting.pop()
        for entry in _listed(directory):
            name = check_name(entry.name, entry.path)
            if not entry.is_dir():
                yield (*path, name), FileSource.open(entry.path)
            elif entry.is_symlink():
                raise InputError(
                    "is a link to a directory; FAT has no links",
                    where=entry.path,
                    hint="add the directory itself with --add",
                )
            else:
                waiting.append((entry.path, (*path, name)))


def _listed(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=attrgetter("name"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=directory) from None

"""Finds out what Linux uses block devices for: mounts, swap, hibernation, loop files, pools."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from efi_image.devices.model import Mount
from efi_image.devices.sysfs import Node, btrfs_members, names, nodes, text, udev_data


@dataclass(frozen=True, slots=True)
class System:
    """Where the kernel describes its devices; tests use recorded folders."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    run: Path = Path("/run")


class Uses:
    """All block devices by name, and the uses of each."""

    def __init__(self, finder: Finder) -> None:
        self.finder = finder
        self.nodes = finder.nodes
        self.above: dict[str, set[str]] = defaultdict(set)
        self.mounts: dict[str, list[Mount]] = defaultdict(list)
        self.others: dict[str, list[str]] = defaultdict(list)
        self.programs: dict[str, set[str]] = defaultdict(set)

    def stack(self, name: str) -> Iterator[tuple[str, ...]]:
        """The chains of devices that are stacked on this one, itself first; each device once."""
        seen = {name}
        waiting: list[tuple[str, ...]] = [(name,)]
        while waiting:
            chain = waiting.pop(0)
            yield chain
            for above in sorted(self.above[chain[-1]] - seen):
                seen.add(above)
                waiting.append((*chain, above))


@dataclass(frozen=True, slots=True)
class _Mounted:
    devno: str
    mount: Mount


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def _mount_table(proc: Path) -> list[_Mounted]:
    """The mounts of this process and of the first one, which a name space may hide.

    In a chroot both have the same mount by different names; its ID tells.
    """
    rows: dict[_Mounted, None] = {}
    known: set[str] = set()
    for process in ("self", "1"):
        lines = text(proc / process / "mountinfo").splitlines()
        ids = {line.partition(" ")[0] for line in lines}
        for line in lines:
            head, _, tail = line.partition(" - ")
            words, more = head.split(" "), tail.split(" ")
            if len(words) >= 5 and len(more) >= 2 and words[0] not in known:
                mount = Mount(_unescaped(more[1]), _unescaped(words[4]), more[0])
                rows[_Mounted(words[2], mount)] = None
        known |= ids
    return list(rows)


class Finder:
    """Finds the block devices that a file system or a file is on."""

    def __init__(self, system: System, known: Iterable[Node]) -> None:
        self.nodes = {node.name: node for node in known}
        self._by_number = {node.number: node.name for node in self.nodes.values()}
        self._by_path = {node.path: node.name for node in self.nodes.values()}
        for node in self.nodes.values():
            if mapped := text(node.folder / "dm/name"):
                self._by_path[f"/dev/mapper/{mapped}"] = node.name
        self._btrfs = btrfs_members(system.sys)
        self._zfs: dict[str, set[str]] = defaultdict(set)
        for node in self.nodes.values():
            udev = udev_data(system.run, node.number)
            if udev.get("ID_FS_TYPE") == "zfs_member":
                self._zfs[udev.get("ID_FS_LABEL", "")].add(node.name)
        self.mounts = _mount_table(system.proc)

    def number(self, devno: str) -> str:
        """The device with that MAJOR:MINOR, or ''."""
        return self._by_number.get(devno, "")

    def path(self, path: str) -> str:
        """The device with that file, or ''."""
        return self._by_path.get(path, "")

    def pool(self, name: str) -> set[str]:
        """The members of a ZFS pool."""
        return self._zfs.get(name, set())

    def of_mount(self, mounted: _Mounted) -> set[str]:
        """The devices of a mounted file system, all of them if it has several."""
        mount = mounted.mount
        if mount.filesystem == "zfs":
            return self.pool(mount.source.partition("/")[0])
        # bcachefs names all its devices
        found = {self.number(mounted.devno), *map(self.path, mount.source.split(":"))} - {""}
        for members in self._btrfs if mount.filesystem == "btrfs" else ():
            if members & found:
                found |= members
        return found

    def of_file(self, path: str) -> set[str]:
        """The devices of the file system that a file is on."""
        place = PurePosixPath(path)
        best = max(
            (each for each in self.mounts if place.is_relative_to(each.mount.target)),
            key=lambda each: len(PurePosixPath(each.mount.target).parts),
            default=None,
        )
        return self.of_mount(best) if best else set()


def _swap(system: System, finder: Finder, uses: Uses) -> None:
    for line in text(system.proc / "swaps").splitlines()[1:]:
        path = _unescaped(line.split()[0]) if line.split() else ""
        if name := finder.path(path):
            uses.others[name].append("swap")
        elif not path.startswith("/dev/"):
            for device in finder.of_file(path):
                uses.others[device].append(f"swap in {path}")


def _hibernation(system: System, finder: Finder, uses: Uses) -> None:
    if name := finder.number(text(system.sys / "power/resume")):
        uses.others[name].append("hibernation")


def _pools(system: System, finder: Finder, uses: Uses) -> None:
    """ZFS pools that are imported, mounted or not."""
    for folder in (system.proc / "spl/kstat/zfs").glob("*/"):
        for device in finder.pool(folder.name):
            uses.others[device].append(f"ZFS pool {folder.name}")


def _programs(system: System, finder: Finder, uses: Uses) -> None:
    """Programs that have a device open for writing, such as a virtual machine whose disk it is."""
    own = str(os.getpid())
    for process in filter(str.isdecimal, names(system.proc)):
        if process == own:
            continue
        folder = f"{system.proc}/{process}"  # strings, as there may be 100,000 of them
        for link in names(f"{folder}/fd"):
            try:
                name = finder.path(os.readlink(f"{folder}/fd/{link}"))  # noqa: PTH115
            except OSError:
                continue  # closed meanwhile
            if name and _writes(text(Path(folder, "fdinfo", link))):
                uses.programs[name].add(f"{text(Path(folder, 'comm'))} ({process})")


def _writes(about: str) -> bool:
    flags = re.search(r"^flags:\s*([0-7]+)$", about, re.M)
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY


def read_stack(system: System) -> Uses:
    """All block devices of this machine, and how they are stacked."""
    finder = Finder(system, nodes(system.sys))
    uses = Uses(finder)
    for node in finder.nodes.values():
        if node.disk:
            uses.above[node.disk].add(node.name)
        uses.above[node.name].update(node.holders())
        if file := node.backing_file:
            # a loop device may be backed by a disk itself
            for below in {finder.path(file)} - {""} or finder.of_file(file):
                uses.above[below].add(node.name)
    return uses


def read_uses(system: System) -> Uses:
    """All block devices of this machine, and their uses."""
    uses = read_stack(system)
    finder = uses.finder
    for mounted in finder.mounts:
        for name in finder.of_mount(mounted):
            uses.mounts[name].append(mounted.mount)
    _swap(system, finder, uses)
    _hibernation(system, finder, uses)
    _pools(system, finder, uses)
    _programs(system, finder, uses)
    return uses

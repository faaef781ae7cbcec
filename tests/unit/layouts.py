"""Machines in text, and the folders that Linux would show of them.

A layout is a file of tests/data/layouts: a line for each device, mount and use, then what is
expected of each disk. Words are those of a shell; sizes such as 8G.

    disk NAME bus=… [vendor= model= serial= size= removable= ro= sector= type= usb= hidden=]
    part NAME DISK              loop NAME file=… size=…
    dm|md NAME on BELOW… [name=…]     holds BELOW ABOVE
    mount SOURCE TARGET TYPE [MAJOR:MINOR]    mount1: seen by the first process only
    swap PATH   swapfile PATH   resume NAME   btrfs NAME…   zfs POOL NAME…   imported POOL
    expect NAME safe|REASON…    says NAME TEXT…    unmounts NAME TARGET…    absent NAME
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from efi_image.config.values import parse_size
from efi_image.devices.uses import System

FOLDER = Path(__file__).resolve().parents[1] / "data/layouts"
PCI = "devices/pci0000:00/0000:00:1{}.0"
BUSES = {
    "usb": PCI + "/usb1/1-{}/1-{}:1.0/host{}/target{}:0:0/{}:0:0:0/block",
    "sata": PCI + "/ata{}/host{}/target{}:0:0/{}:0:0:0/block",
    "scsi": PCI + "/host{}/target{}:0:0/{}:0:0:0/block",
    "nvme": PCI + "/nvme/nvme{}",
    "mmc": PCI + "/mmc_host/mmc{}/mmc{}:0001/block",
    "virtio": PCI + "/virtio{}/block",
    "xen": "devices/vbd-{}/block",
    "iscsi": "devices/platform/host{}/session{}/target{}:0:0/{}:0:0:0/block",
    "fc": PCI + "/host{}/rport-{}:0-0/target{}:0:0/{}:0:0:0/block",
    "virtual": "devices/virtual/block",
}


@dataclass
class Layout:
    """A machine's folders, and what is expected of its disks."""

    system: System
    reasons: dict[str, list[str]] = field(default_factory=dict)
    says: dict[str, list[str]] = field(default_factory=dict)
    unmounts: dict[str, list[str]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)


class Builder:
    """Makes the folders of a layout."""

    def __init__(self, root: Path) -> None:
        self.sys, self.proc, self.run = root / "sys", root / "proc", root / "run"
        self.layout = Layout(System(self.sys, self.proc, self.run))
        self.folders: dict[str, Path] = {}
        self.numbers: dict[str, str] = {}
        self.tables: dict[str, list[str]] = defaultdict(list)
        self.swaps = ["Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"]
        for folder in ("class/block", "dev/block", "fs/btrfs", "power"):
            (self.sys / folder).mkdir(parents=True)
        (self.proc / "spl/kstat/zfs").mkdir(parents=True)
        (self.run / "udev/data").mkdir(parents=True)
        put(self.sys / "power/resume", "0:0")

    def finish(self) -> Layout:
        for process in ("self", "1"):
            lines = self.tables["self"] + (self.tables["1"] if process == "1" else [])
            put(self.proc / process / "mountinfo", "\n".join(lines))
        put(self.proc / "swaps", "\n".join(self.swaps))
        return self.layout

    # ---- devices

    def _add(self, name: str, folder: Path, size: str) -> Path:
        folder.mkdir(parents=True)
        number = f"8:{len(self.folders)}"
        self.folders[name], self.numbers[name] = folder, number
        for file, value in (("dev", number), ("size", parse_size(size, name) // 512), ("ro", 0)):
            put(folder / file, str(value))
        (folder / "holders").mkdir()
        (self.sys / "class/block" / name).symlink_to(folder)
        (self.sys / "dev/block" / number).symlink_to(folder)
        return folder

    def disk(self, name: str, options: dict[str, str]) -> None:
        options = {k: v.encode().decode("unicode_escape") for k, v in options.items()}
        place = BUSES[options["bus"]]
        parent = self.sys / place.format(*[len(self.folders)] * place.count("{}"))
        folder = self._add(name, parent / name, options.get("size", "8G"))
        device = parent.parent if parent.name == "block" else parent
        if options["bus"] != "virtual":
            (folder / "device").symlink_to(device)
            for file in ("vendor", "model", "type"):
                if file in options:
                    put(device / ("name" if "type" in options and file == "model" else file),
                        options[file])  # fmt: skip
        put(folder / "queue/logical_block_size", options.get("sector", "512"))
        put(folder / "diskseq", str(len(self.folders)))
        for file in ("removable", "ro", "hidden"):
            put(folder / file, options.get(file, "0"))
        if options["bus"] == "usb":
            usb = next(up for up in folder.parents if up.parent.name == "usb1")
            put(usb / "idVendor", "0781")
            put(usb / "removable", options.get("usb", "removable"))
            put(usb / "serial", options["serial"]) if "serial" in options else None
        elif "serial" in options:
            put((folder if options["bus"] == "virtio" else device) / "serial", options["serial"])

    def part(self, name: str, disk: str) -> None:
        folder = self._add(name, self.folders[disk] / name, "1G")
        put(folder / "partition", "1")

    def loop(self, name: str, options: dict[str, str]) -> None:
        self.disk(name, {"bus": "virtual", **options})
        put(self.folders[name] / "loop/backing_file", options["file"])

    def stacked(self, name: str, below: list[str], options: dict[str, str]) -> None:
        folder = self._add(name, self.sys / "devices/virtual/block" / name, "1G")
        if "name" in options:
            put(folder / "dm/name", options["name"])
        for each in below:
            self.holds(each, name)

    def holds(self, below: str, above: str) -> None:
        (self.folders[below] / "holders" / above).symlink_to("/nowhere")

    # ---- uses

    def mount(self, table: str, source: str, target: str, kind: str, number: str = "") -> None:
        number = number or self.numbers[self.name_of(source)]
        target = target.replace(" ", "\\040")
        row = f"36 35 {number} / {target} rw,relatime shared:1 - {kind} {source} rw"
        self.tables[table].append(row)

    def name_of(self, path: str) -> str:
        name = path.removeprefix("/dev/mapper/").removeprefix("/dev/")
        for device, folder in self.folders.items():
            mapped = folder / "dm/name"
            if mapped.exists() and mapped.read_text() == name:
                return device
        return name

    def udev(self, name: str, **properties: str) -> None:
        lines = [f"E:{key}={value}" for key, value in properties.items()]
        put(self.run / "udev/data" / f"b{self.numbers[name]}", "\n".join(["I:1", *lines]))

    def btrfs(self, names: list[str]) -> None:
        number = len(list((self.sys / "fs/btrfs").iterdir()))
        folder = self.sys / "fs/btrfs" / f"{number:08}-0000-0000-0000-000000000000/devices"
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).symlink_to(self.folders[name])

    def swap(self, path: str, kind: str) -> None:
        self.swaps.append(f"{path}                               {kind}\t1\t0\t-2")

    def zfs(self, pool: str, names: list[str]) -> None:
        for name in names:
            self.udev(name, ID_FS_TYPE="zfs_member", ID_FS_LABEL=pool)

    def expect(self, name: str, reasons: list[str]) -> None:
        self.layout.reasons[name] = [word for word in reasons if word != "safe"]

    def line(self, words: list[str]) -> None:
        """Do what a line of a layout says."""
        verb, first, *all_ = words
        rest = [word for word in all_ if "=" not in word]
        options = dict(word.split("=", 1) for word in all_ if "=" in word)
        layout = self.layout
        verbs: dict[str, Callable[[], object]] = {
            "disk": lambda: self.disk(first, options),
            "part": lambda: self.part(first, rest[0]),
            "loop": lambda: self.loop(first, options),
            "dm": lambda: self.stacked(first, rest[1:], options),
            "md": lambda: self.stacked(first, rest[1:], options),
            "holds": lambda: self.holds(first, rest[0]),
            "mount": lambda: self.mount("self", first, *all_),
            "mount1": lambda: self.mount("1", first, *all_),
            "swap": lambda: self.swap(first, "partition"),
            "swapfile": lambda: self.swap(first, "file"),
            "resume": lambda: put(self.sys / "power/resume", self.numbers[first]),
            "btrfs": lambda: self.btrfs([first, *rest]),
            "zfs": lambda: self.zfs(first, rest),
            "imported": (self.proc / "spl/kstat/zfs" / first).mkdir,
            "expect": lambda: self.expect(first, rest),
            "says": lambda: layout.says.update({first: all_}),
            "unmounts": lambda: layout.unmounts.update({first: all_}),
            "absent": lambda: layout.absent.append(first),
        }
        verbs[verb]()


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def build(text: str, root: Path) -> Layout:
    """The folders of a layout, made below `root`."""
    builder = Builder(root)
    for line in text.splitlines():
        if words := shlex.split(line, comments=True):
            builder.line(words)
    return builder.finish()


def names() -> list[str]:
    """All recorded layouts."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def load(name: str, root: Path) -> Layout:
    """A recorded layout, made below `root`."""
    return build((FOLDER / f"{name}.txt").read_text(), root)

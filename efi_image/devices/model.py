"""A whole disk, and the reasons not to write to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Bus(Enum):
    """How a disk is attached."""

    USB = "usb"
    MMC = "mmc"
    SATA = "sata"
    NVME = "nvme"
    SCSI = "scsi"
    ISCSI = "iscsi"
    FIBRE = "fibre channel"
    FIREWIRE = "firewire"
    VIRTIO = "virtio"
    XEN = "xen"
    NETWORK = "network"
    LOOP = "loop"
    OTHER = "other"


class Reason(Enum):
    """Why a disk is not a safe target; the value is the word in `--json`."""

    SYSTEM = "system"
    IN_USE = "in-use"
    MOUNTED = "mounted"
    READ_ONLY = "read-only"
    NO_MEDIUM = "no-medium"
    TOO_SMALL = "too-small"
    INTERNAL = "internal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason, and the words for it."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system of the disk, or of something stacked on it, and where it is mounted."""

    source: str
    target: str
    filesystem: str


@dataclass(frozen=True, slots=True)
class Device:
    """A whole disk. `size` and `sector_size` are in bytes; unknown facts are empty or 0.

    `external`: the disk or its medium is meant to be unplugged. `diskseq` is the kernel's number
    of this plugging-in. `twin` is another disk with the same serial number. `unmount` lists the
    mounts that a write undoes first; every other use is a refusal.
    """

    path: str
    name: str
    size: int
    sector_size: int
    model: str = ""
    serial: str = ""
    bus: Bus = Bus.OTHER
    removable: bool = False
    external: bool = False
    read_only: bool = False
    diskseq: int = 0
    twin: str = ""
    mounts: tuple[Mount, ...] = ()
    unmount: tuple[Mount, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def safe(self) -> bool:
        """Whether it may be written."""
        return not self.refusals

    @property
    def word(self) -> str:
        """The word that a person types to confirm that it is erased."""
        return self.model or self.path

    @property
    def key(self) -> str:
        """The word that a script gives to confirm that it is erased; no other disk has it."""
        return self.path if self.twin else self.serial or self.path

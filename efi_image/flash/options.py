"""The request and the report of a write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from efi_image.devices.model import Device
from efi_image.errors import UsageError
from efi_image.flash.source import ImageSource
from efi_image.progress import Progress

MANIFEST = ".toml"
CHECKPOINT = 5.0  # seconds between two notes of how far it came; each is a flush


class Phase(Enum):
    """What a write is doing."""

    CAPACITY_TEST = "testing the capacity"
    WRITING = "writing"
    READING_BACK = "reading back"


# called with the disk or file that would be erased; raises UnsafeTarget if it is not meant
Confirm = Callable[[Device | Path, ImageSource], None]

# gives the progress display of a phase, or None
Watch = Callable[[Phase], Progress | None]


def quiet(_phase: Phase) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """A write of `image` to `target`, a device or a regular file.

    `bmap` says which blocks of the image are data. `delta` writes only what differs, `resume`
    continues an unfinished write, and `skip_holes` leaves old content in holes. `internal`
    allows a built-in disk. `capacity_test` comes before the write, `eject` after it.
    `raw_bytes` writes a file that is not a known disk as it is. `checkpoint` is in seconds.
    """

    image: Path
    target: str
    bmap: Path | None = None
    verify: bool = True
    delta: bool = False
    resume: bool = False
    skip_holes: bool = False
    internal: bool = False
    capacity_test: bool = False
    eject: bool = False
    raw_bytes: bool = False
    checkpoint: float = CHECKPOINT

    def __post_init__(self) -> None:
        """Raise UsageError for options that exclude each other."""
        if self.capacity_test and self.resume:
            raise UsageError("cannot be used with --resume", where="--probe")
        if self.resume and not self.verify:
            raise UsageError("cannot be used with --no-verify", where="--resume")
        if self.bmap and self.is_manifest:
            raise UsageError("cannot be used with a manifest", where="--bmap")

    @property
    def is_manifest(self) -> bool:
        """Whether the image is made while it is written."""
        return self.image.suffix.lower() == MANIFEST


@dataclass(frozen=True, slots=True)
class WriteReport:
    """The result of a write. Sizes are in bytes; `kept` was on the target already.

    `moved_table`: a GPT's backup is at the target's end now. `serial` is the device's, '' for
    a regular file; `ejected` is None if that was not asked for.
    """

    size: int
    written: int
    zeroed: int
    kept: int
    verified: int
    moved_table: bool
    partitions_reread: bool
    serial: str = ""
    seconds: float = 0.0
    ejected: bool | None = None

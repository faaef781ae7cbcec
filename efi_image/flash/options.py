"""A write from the file with the image to the stick, with all that keeps other disks safe."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from efi_image.devices.model import Device
from efi_image.devices.sysfs import in_dev
from efi_image.devices.unmount import eject
from efi_image.errors import DoesNotFitError, UnsafeTarget, UsageError
from efi_image.flash.bmap import read_bmap
from efi_image.flash.capacity_test import probe
from efi_image.flash.device import open_device, refuse, unmount_confirmed
from efi_image.flash.plan import plan_source
from efi_image.flash.session import Watch, WriteOptions, Writer, WriteReport
from efi_image.flash.source import ImageSource, open_source
from efi_image.flash.target import Target, open_file
from efi_image.progress import Progress

MANIFEST = ".toml"

# told of the disk that would be erased; raises UnsafeTarget if that is not meant
Confirm = Callable[[Device, ImageSource], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be written where. `internal`: a disk that is built in may be the target."""

    image: Path
    target: str
    bmap: Path | None = None
    options: WriteOptions = WriteOptions()
    internal: bool = False
    probe: bool = False
    eject: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done; `device` is None for a plain file, `ejected` if that was not asked for."""

    device: Device | None
    report: WriteReport
    seconds: float
    ejected: bool | None


@dataclass(frozen=True, slots=True)
class Events:
    """What the caller does: `confirm` once, `watch` for each phase, `probing` for the probe."""

    confirm: Confirm
    watch: Watch
    probing: Callable[[], Progress | None]


class Run:
    """One write; `unfinished` says afterwards whether it left the target so, `resumable` whether
    it can be gone on with, and `may_boot` whether the target could not be cleared again."""

    def __init__(self, job: Job, events: Events) -> None:
        self._job = job
        self._events = events
        self.unfinished = self.resumable = self.may_boot = False

    def run(self) -> Outcome:
        """Do it; raises ZppError."""
        if is_device(self._job.target):
            return self._to_device()
        return self._to_file(Path(self._job.target))

    def _to_file(self, path: Path) -> Outcome:
        is_new = not path.exists()
        if not is_new and not path.is_file():
            raise UsageError("is neither a disk nor a plain file", where=self._job.target)
        for given, option in ((self._job.probe, "--probe"), (self._job.eject, "--eject")):
            if given:
                raise UsageError("is for devices", where=option)
        with self._source(512) as source:
            if not is_new:
                self._refuse_sources(path, source)
                _refuse_attached(path)
            target = open_file(path, source.size)
            try:
                return self._write(source, target, None)
            except BaseException:
                if is_new and not self.unfinished:
                    path.unlink(missing_ok=True)
                raise

    def _refuse_sources(self, path: Path, source: ImageSource) -> None:
        """What is read may not be overwritten."""
        if path.samefile(self._job.image):
            raise UsageError("is the image itself", where=self._job.target)
        others = [*source.files(), *([str(self._job.bmap)] if self._job.bmap else [])]
        if any(map(path.samefile, others)):
            raise UsageError("is to be read, too", where=self._job.target)

    def _source(self, sector_size: int) -> AbstractContextManager[ImageSource]:
        job = self._job
        if job.image.suffix.lower() == MANIFEST:
            if job.bmap:
                raise UsageError("does not go with a manifest", where="--bmap")

            return nullcontext(plan_source(job.image, sector_size))
        return open_source(job.image, read_bmap(job.bmap) if job.bmap else None)

    def _to_device(self) -> Outcome:
        if sys.platform != "linux":
            raise UsageError(
                "devices are written on Linux only",
                where=self._job.target,
                hint="write the image with this system's own tools",
            )
        from efi_image.devices.linux import LinuxDisks  # noqa: PLC0415

        disks = LinuxDisks()
        device = disks.find(self._job.target)
        refuse(device, internal=self._job.internal)
        with self._source(device.sector_size) as source:
            if held := disks.held(device, [str(self._job.image), *source.files()]):
                raise UnsafeTarget(f"holds {held}, which is to be written", where=device.path)
            if (source.size or 0) > device.size:
                raise DoesNotFitError(
                    f"has {device.size} bytes, but the image has {source.size}", where=device.path
                )
            self._events.confirm(device, source)
            if device.unmount:
                unmount_confirmed(device, disks.find(device.path))
            target = open_device(device, disks, internal=self._job.internal)
            return self._write(source, target, device)

    def _write(self, source: ImageSource, target: Target, device: Device | None) -> Outcome:
        started = time.monotonic()
        try:
            if self._job.probe:
                self.unfinished = True
                probe(target, self._events.probing())
            writer = Writer(source, target, self._job.options, self._events.watch)
            try:
                report = writer.write()
            except BaseException:
                self.resumable = writer.touched
                self.may_boot = writer.may_boot
                self.unfinished = writer.touched or self.unfinished
                raise
            seconds = time.monotonic() - started
            self.unfinished = False
            return Outcome(device, report, seconds, self._eject(target))
        finally:
            target.close()

    def _eject(self, target: Target) -> bool | None:
        if not self._job.eject:
            return None

        return eject(target.descriptor())


def _refuse_attached(path: Path) -> None:
    """Raise UnsafeTarget if the file is a disk of this machine just now."""
    if sys.platform != "linux":
        return
    from efi_image.devices.linux import LinuxDisks  # noqa: PLC0415

    if loop := LinuxDisks().attached(str(path)):
        raise UnsafeTarget(f"is in use: it is {loop}", where=str(path), hint="write to that")


def is_device(path: str) -> bool:
    """Whether a target is a device, there or not; raises UnsafeTarget.

    A plain file in place of a disk's takes memory until the machine is started anew.
    """
    is_place = path.startswith("\\\\.\\") or in_dev(os.path.realpath(path))
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return is_place
    if is_place and stat.S_ISREG(mode):
        raise UnsafeTarget("is a plain file where disks are", where=path, hint="remove it")
    return stat.S_ISBLK(mode)

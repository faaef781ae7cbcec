"""A write from the file with the image to the stick, with all that keeps other disks safe."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from efi_image.devices.model import Device
from efi_image.errors import DoesNotFitError, UnsafeTarget, UsageError
from efi_image.progress import Progress
from efi_image.write.bmap import read_bmap
from efi_image.write.source import ImageSource, PlanSource, open_source
from efi_image.write.target import Target, open_file
from efi_image.write.writer import Watch, WriteOptions, Writer, WriteReport

MANIFEST = ".toml"

# told of the disk that would be erased; raises UnsafeTarget if that is not meant
Confirm = Callable[[Device, ImageSource], None]


@dataclass(frozen=True)
class Job:
    """What is to be written where. `internal`: a disk that is built in may be the target."""

    image: Path
    target: str
    bmap: Path | None = None
    options: WriteOptions = field(default_factory=WriteOptions)
    internal: bool = False
    probe: bool = False
    eject: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was done; `device` is None for a plain file, `ejected` if that was not asked for."""

    device: Device | None
    report: WriteReport
    seconds: float
    ejected: bool | None


@dataclass
class Events:
    """What the caller does: `confirm` once, `watch` for each phase, `probing` for the probe."""

    confirm: Confirm
    watch: Watch
    probing: Callable[[], Progress | None]


class Run:
    """One write; `unfinished` says afterwards whether it left the target so, and `resumable`
    whether it can be gone on with."""

    def __init__(self, job: Job, events: Events) -> None:
        self._job = job
        self._events = events
        self.unfinished = self.resumable = False

    def run(self) -> Outcome:
        """Do it; raises ZppError."""
        if _is_block(self._job.target):
            return self._to_device()
        path = Path(self._job.target)
        if path.exists() and not path.is_file():
            raise UsageError("is neither a disk nor a plain file", where=self._job.target)
        for given, option in ((self._job.probe, "--probe"), (self._job.eject, "--eject")):
            if given:
                raise UsageError("is for devices", where=option)
        with self._source(512) as source:
            if path.exists() and path.samefile(self._job.image):
                raise UsageError("is the image itself", where=self._job.target)
            target = open_file(path, source.size)
            return self._write(source, target, None)

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
        from efi_image.devices.unmount import unmount  # noqa: PLC0415
        from efi_image.write.device import open_device, refuse  # noqa: PLC0415

        disks = LinuxDisks()
        device = disks.find(self._job.target)
        refuse(device, internal=self._job.internal)
        with self._source(device.sector_size) as source:
            files = source.files() if isinstance(source, PlanSource) else []
            for file in (str(self._job.image), *files):
                if disks.holds(device, file):
                    raise UnsafeTarget(f"holds {file}, which is to be written", where=device.path)
            if (source.size or 0) > device.size:
                raise DoesNotFitError(
                    f"has {device.size} bytes, but the image has {source.size}", where=device.path
                )
            self._events.confirm(device, source)
            unmount(device.unmount)
            after = disks.find(self._job.target)
            target = open_device(_same_use(device, after), disks, internal=self._job.internal)
            return self._write(source, target, device)

    def _write(self, source: ImageSource, target: Target, device: Device | None) -> Outcome:
        started = time.monotonic()
        try:
            if self._job.probe:
                from efi_image.write.probe import probe  # noqa: PLC0415

                self.unfinished = True
                probe(target, self._events.probing())
            writer = Writer(source, target, self._job.options, self._events.watch)
            try:
                report = writer.write()
            except BaseException:
                self.resumable = writer.touched
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
        from efi_image.devices.unmount import eject  # noqa: PLC0415

        return eject(target.descriptor())


def _same_use(before: Device, after: Device) -> Device:
    """The device as it was confirmed; nothing but its mounts may have changed since."""
    if (before.path, before.diskseq, before.serial) != (after.path, after.diskseq, after.serial):
        raise UnsafeTarget("was exchanged before it was opened", where=before.path)
    return before


def _is_block(path: str) -> bool:
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return path.startswith(("/dev/", "\\\\.\\"))


def plan_source(manifest: Path, sector_size: int) -> PlanSource:
    """The image that a manifest describes, planned; raises ZppError.

    Its sectors are the target's, unless the manifest says otherwise.
    """
    from efi_image.config import Setting, load  # noqa: PLC0415
    from efi_image.esp import contents  # noqa: PLC0415
    from efi_image.image import plan_image, source_date  # noqa: PLC0415
    from efi_image.manifest import load as load_manifest  # noqa: PLC0415
    from efi_image.recipe import merge  # noqa: PLC0415
    from efi_image.settings import Manifest  # noqa: PLC0415

    found = load_manifest(manifest)
    chosen = {
        "sector-size": Setting("sector-size", str(sector_size), "sectors of the target"),
        "digest": Setting("digest", "off", "default"),
        "output": Setting("output", str(manifest.with_suffix(".img")), "default"),
        "output-format": Setting("output-format", "raw", "default"),
    }
    keep = {name: s for name, s in found.settings.items() if name != "output"}
    merged = Manifest(chosen | keep, found.boots, found.files, found.partitions)
    recipe = merge(load(), merged)
    plan = plan_image(contents(recipe.esp_options()), recipe.image_options(source_date(os.environ)))
    return PlanSource(plan, str(manifest))

"""An image as a whole: its partition table, its volumes, and what it boots."""

from __future__ import annotations

from dataclasses import replace

from efi_image.errors import InputError
from efi_image.formats.disk import Disk, Partition, Scheme, read_disk
from efi_image.formats.fat.bpb import BootSector, looks_like_fat
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.iso9660.reader import IsoVolume
from efi_image.formats.iso9660.structures import EL_TORITO_SECTOR, SECTOR
from efi_image.formats.magic import content_of, describe
from efi_image.io.medium import Medium
from efi_image.verify import boot_path, cross_check, gpt, mbr
from efi_image.verify.context import CheckContext
from efi_image.verify.fat import bpb, volume
from efi_image.verify.finding import Findings
from efi_image.verify.options import Options

MAX_EL_TORITO = 64


class DiskCheck:
    """Checks one image; adds to `findings`."""

    def __init__(self, medium: Medium, options: Options, findings: Findings) -> None:
        self._medium = medium
        self._options = options
        self._findings = findings
        self._unreadable = False
        self._in_iso = False
        self._volumes: list[tuple[CheckContext, FatVolume]] = []

    def run(self) -> None:
        """Check everything; raises InputError if the image cannot be read at all."""
        disk = read_disk(self._medium)
        self._findings.sector_size = disk.sector_size
        self._in_iso = disk.is_iso
        if disk.scheme is Scheme.GPT:
            self._gpt(disk)
        elif _is_fat(self._medium):
            self._whole()
        elif disk.scheme is Scheme.MBR and disk.mbr:
            context = CheckContext(self._medium, self._findings)
            self._sectors(context, disk)
            mbr.check_table(context, disk.mbr, disk.sector_size)
            if disk.leftover and not disk.is_iso:  # a hybrid ISO has it on purpose
                mbr.check_leftover(context, disk.leftover)
            self._partitions(disk)
            if self._volumes and not any(partition.is_esp for partition in disk.partitions):
                context.add("M204", f"{self._volumes[0][0].part} has a FAT volume")
        elif not disk.is_iso:
            self._findings.add("ZPP-D101", f"it {describe(self._medium)}", offset=0)
            return
        if disk.is_iso:
            self._el_torito(disk)
        self._boot(disk)

    def _gpt(self, disk: Disk) -> None:
        assert disk.gpt
        context = CheckContext(self._medium, self._findings)
        size = disk.gpt.sector_size
        self._sectors(context, disk)
        gpt.GptCheck(context, disk.gpt).run()
        mbr.check_protective(context, disk.mbr, self._medium.size // size)
        self._partitions(disk)
        self._esp(context, disk)

    def _sectors(self, context: CheckContext, disk: Disk) -> None:
        size, wanted = disk.sector_size, self._options.sector_size
        if wanted and wanted != size:
            reason = f"the table has sectors of {size} bytes, the medium {wanted}"
            context.add("D104", reason, size)

    def _esp(self, context: CheckContext, disk: Disk) -> None:
        esps = [p for p in disk.partitions if p.is_esp]
        if not esps and self._volumes:
            context.add("D103", f"{self._volumes[0][0].part} has a FAT volume, but another type")
        if len(esps) > 1:
            context.add("D105", "partitions " + ", ".join(p.name for p in esps))

    def _partitions(self, disk: Disk) -> None:
        for partition in disk.partitions:
            if partition.entry is None:
                continue
            try:
                medium = disk.medium_of(partition)
            except InputError:
                self._unreadable = True  # the rules about the table reported it
                continue
            if _is_fat(medium) or (partition.is_esp and not content_of(medium)):
                self._partition(disk, partition, medium)
            elif partition.is_esp:
                part = f"partition {partition.name}"
                self._findings.add("ZPP-F132", f"it {describe(medium)}", part=part,
                                   offset=partition.start)  # fmt: skip
                self._unreadable = True

    def _partition(self, disk: Disk, partition: Partition, medium: Medium) -> None:
        size = disk.sector_size
        known = size if disk.scheme is Scheme.GPT else self._options.sector_size
        part = f"partition {partition.name}"
        start = partition.start
        self._volume(CheckContext(medium, self._findings, part, start, start // size, known))

    def _el_torito(self, disk: Disk) -> None:
        """The FAT volume that firmware starts from optical media (El Torito)."""
        try:
            volume = IsoVolume(self._medium)
            entries = [e for e in volume.boot_entries() if e.platform == "EFI"]
            fault = volume.catalog_fault()
        except InputError as error:
            self._findings.add("ZPP-D106", f"it cannot be read: {error.what}")
            return
        skipped = [f"the entry for EFI {entry.fault}" for entry in entries if entry.fault]
        usable = [entry for entry in entries if not entry.fault]
        if fault or not usable:
            reason = fault or "; ".join(skipped[:MAX_EL_TORITO]) or "it has no entry for EFI"
            self._findings.add("ZPP-D106", reason)
            return
        for reason in skipped:
            self._findings.add("ZPP-D107", reason)
        for entry in usable[:MAX_EL_TORITO]:
            start = entry.block * SECTOR
            size = self._medium.size - start
            if entry.sectors > 1:
                size = entry.sectors * EL_TORITO_SECTOR
            if any(partition.entry and partition.start == start for partition in disk.partitions):
                continue  # it is also a partition, which was checked
            try:
                medium = self._medium.view(start, size)
            except InputError as error:
                self._findings.add("ZPP-D106", f"its volume {error.what}")
                continue
            self._volume(CheckContext(medium, self._findings, "El Torito", start))

    def _whole(self) -> None:
        known = self._options.sector_size
        self._volume(CheckContext(self._medium, self._findings, "volume", disk_sector_size=known))

    def _volume(self, context: CheckContext) -> None:
        context = replace(context, progress=self._options.progress, fixable=not self._in_iso)
        checked = volume.check(context)
        if checked is None:
            self._unreadable = True
            return
        self._volumes.append((context, checked))
        if self._options.cross_check:
            cross_check.check(context, checked)

    def _boot(self, disk: Disk) -> None:
        if not self._volumes:
            if not self._unreadable:
                self._findings.add("ZPP-D102", disk.contents())
            return
        boot_path.check(
            self._volumes,
            self._options.machines,
            self._options.keys,
            complete=not self._unreadable,
        )


def _is_fat(medium: Medium) -> bool:
    """Whether it is a FAT volume, even one with a wrong field in its boot sector."""
    sector = medium.peek(0, 512)
    if len(sector) < 512:
        return False
    if looks_like_fat(sector) or bpb.valid_backup(medium):
        return True
    boot_sector = BootSector.unpack(sector)
    named = b"FAT" in (sector[0x36:0x39], sector[0x52:0x55])
    return named or (not boot_sector.fault and boot_sector.extended_signature in (0x28, 0x29))

"""Make an image file: check the output, plan, open the output, write, report."""

from __future__ import annotations

from dataclasses import dataclass

from efi_image.build.options import ResolvedOptions
from efi_image.build.output import check_inputs, check_target, open_output
from efi_image.build.partitions import Table
from efi_image.build.plan import Plan, plan
from efi_image.build.rootfs import with_root
from efi_image.formats.fat import Tree
from efi_image.progress import Progress, counter


@dataclass(frozen=True, slots=True)
class FileReport:
    """A file on an image; sha256 is empty unless it was asked for."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """A partition of an image: offset and size in bytes."""

    type: str
    name: str
    guid: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """An image that was made: sizes in bytes, SHA-256 of the raw image.

    Values that were not asked for, or that the image does not have, are empty.
    """

    output: str
    format: str
    bmap: str
    size: int
    sector_size: int
    table: str
    fat: str
    cluster_size: int
    free: int
    label: str
    serial: str
    sha256: str
    partitions: tuple[PartitionReport, ...]
    files: tuple[FileReport, ...]


def make_image(
    options: ResolvedOptions, tree: Tree | None = None, progress: Progress | None = None
) -> Report:
    """Make an image file; the output is replaced only when everything went well.

    `tree` replaces the files that the options name. `progress` is told how many bytes of
    the files are copied. Raises InputError, UsageError, DoesNotFitError, MissingError and
    OutputError.
    """
    check_target(options)
    with with_root(options) as complete:
        planned = plan(complete, tree)
        check_inputs(planned)
        with open_output(planned) as sink:
            sink.progress = counter(progress, planned.payload)
            planned.write(sink)
    return _report(planned, sink.sha256)


def _report(planned: Plan, sha256: str) -> Report:
    options, volume = planned.options, planned.volume
    serial = f"{volume.identity.serial:08X}"
    return Report(
        output=str(options.output),
        format=options.output_format.value,
        bmap=str(options.bmap or ""),
        size=planned.size,
        sector_size=options.sector_size,
        table=options.table.value,
        fat=volume.layout.kind.name,
        cluster_size=volume.layout.cluster_size,
        free=(volume.layout.clusters - volume.used) * volume.layout.cluster_size,
        label=options.label,
        serial=f"{serial[:4]}-{serial[4:]}",
        sha256=sha256,
        partitions=_partitions(planned),
        files=tuple(
            FileReport(path, file.size, file.sha256)
            for path, file in zip(volume.contents.paths, volume.contents.files, strict=True)
        ),
    )


def _partitions(planned: Plan) -> tuple[PartitionReport, ...]:
    table = planned.options.table
    if table is Table.NONE:
        return ()
    return tuple(
        PartitionReport(
            entry.type.name,
            entry.name if table.is_gpt else "",
            str(entry.guid) if table.is_gpt else "",
            planned.offset(entry),
            entry.place.sectors * planned.options.sector_size,
        )
        for entry in planned.entries
    )

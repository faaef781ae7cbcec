"""From settings as text to ResolvedOptions: each value gets its type, each default its value."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from efi_image.build.options import Hypervisor, OutputFormat, ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.config.settings import Settings
from efi_image.config.values import (
    choice,
    member_of,
    parse_boot_tries,
    parse_label,
    parse_menu_timeout,
    parse_port,
    parse_reset_after,
    parse_seconds,
    parse_sector_size,
    parse_serial,
    parse_size,
    parse_switch,
)
from efi_image.errors import UsageError
from efi_image.formats.fat import FatType
from efi_image.formats.gpt.types import parse_guid

SMALLEST = "min"
SOURCE_DATE = "SOURCE_DATE_EPOCH"

T = TypeVar("T")


def resolve(settings: Settings, environ: Mapping[str, str] = os.environ) -> ResolvedOptions:
    """All that decides an image; raises UsageError. It looks at no file."""
    text = {key: setting.value for key, setting in settings.values.items()}

    def required(key: str, parse: Callable[[str, str], T]) -> T:
        return parse(text[key], settings.values[key].origin)

    def optional(key: str, parse: Callable[[str, str], T]) -> T | None:
        return required(key, parse) if text[key] else None

    output = required("output", _path)
    table = required("table", member_of(Table))
    for key, has_it in (
        ("disk-guid", table.is_gpt),
        ("partition-guid", table.is_gpt),
        ("disk-signature", table is Table.MBR),
    ):
        if text[key] and not has_it:
            where = settings.values[key].origin
            raise UsageError(
                f"an image with the table '{table.value}' has none",
                where=where,
                hint="leave it out",
            )
    minimal = text["size"] == SMALLEST
    return ResolvedOptions(
        output=output,
        output_format=optional("output-format", member_of(OutputFormat)) or OutputFormat.of(output),
        bmap=optional("bmap", _path),
        digest=optional("digest", parse_switch) or False,
        build_directory=required("build-dir", _path),
        hypervisor=required("hypervisor", member_of(Hypervisor)),
        kernel=optional("kernel", _path),
        initrd=optional("initrd", _path),
        cmdline=text["cmdline"],
        rootfs=optional("rootfs", _path),
        rootfs_size=optional("rootfs-size", parse_size),
        serial_port=required("serial", parse_port),
        visible=required("visible", parse_switch),
        reset_after=required("reset-after", parse_reset_after),
        menu_timeout=required("menu-timeout", parse_menu_timeout),
        boot_tries=required("boot-tries", parse_boot_tries),
        default_entry=text["default"].strip(),
        boot=settings.boot,
        files=settings.files,
        size=None if minimal else optional("size", parse_size),
        minimal=minimal,
        table=table,
        partitions=settings.partitions,
        sector_size=required("sector-size", parse_sector_size),
        alignment=required("align", parse_size),
        fat=optional("fat", _fat_type),
        label=required("label", parse_label),
        volume_serial=optional("volume-serial", parse_serial),
        disk_guid=optional("disk-guid", parse_guid),
        disk_signature=optional("disk-signature", parse_serial),
        partition_guid=optional("partition-guid", parse_guid),
        seconds=parse_seconds(environ.get(SOURCE_DATE, "0"), SOURCE_DATE),
        origins={k: s.origin for k, s in settings.values.items() if s.origin != "default"},
    )


def _path(text: str, _where: str) -> Path:
    return Path(text)


def _fat_type(text: str, where: str) -> FatType:
    return choice(text, where, {str(each.value): each for each in FatType})

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
    parse_rootfs_size,
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
    hypervisor = required("hypervisor", member_of(Hypervisor))
    _check_effect(settings, table, hypervisor)
    minimal = text["size"] == SMALLEST
    return ResolvedOptions(
        output=output,
        output_format=optional("output-format", member_of(OutputFormat)) or OutputFormat.of(output),
        bmap=optional("bmap", _path),
        digest=optional("digest", parse_switch) or False,
        build_directory=required("build-dir", _path),
        hypervisor=hypervisor,
        kernel=optional("kernel", _path),
        initrd=optional("initrd", _path),
        cmdline=text["cmdline"],
        rootfs=optional("rootfs", _path),
        rootfs_size=optional("rootfs-size", parse_rootfs_size),
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


# a setting → those of which one must be there as well
_NEEDED = {
    "initrd": ("kernel", "rootfs"),
    "cmdline": ("kernel", "rootfs"),
    "rootfs-size": ("rootfs",),
}
# a setting → the tables that have what it is about
_GPT = {table for table in Table if table.is_gpt}
_OF_TABLES = {
    "disk-guid": (_GPT, "GUID"),
    "partition-guid": (_GPT, "GUID"),
    "disk-signature": ({Table.MBR}, "disk signature"),
    "align": ({*_GPT, Table.MBR}, "partitions"),
    "rootfs": (_GPT, "GUIDs, by which Linux finds its root"),
}
_OF_ZPP = ("kernel", "rootfs", "serial", "visible", "reset-after")


def _check_effect(settings: Settings, table: Table, hypervisor: Hypervisor) -> None:
    """Raise UsageError for a setting that would change nothing."""
    for key in sorted(settings.chosen):
        where = settings.values[key].origin
        needed = _NEEDED.get(key, ())
        if needed and not any(settings.values[each].value for each in needed):
            options = " or ".join(f"--{each}" for each in needed)
            raise UsageError(f"works only with {options}", where=where)
        tables, name = _OF_TABLES.get(key, (set(Table), ""))
        if table not in tables:
            has = f"an image with the table '{table.value}' has no {name}"
            raise UsageError(has, where=where, hint="leave it out, or choose another --table")
        if key in _OF_ZPP and hypervisor is Hypervisor.NONE:
            what = "needs ZppBoot, which --hypervisor none leaves out"
            hint = "use --boot for a UKI or another EFI program" if key == "kernel" else ""
            raise UsageError(what, where=where, hint=hint)


def _path(text: str, _where: str) -> Path:
    return Path(text)


def _fat_type(text: str, where: str) -> FatType:
    return choice(text, where, {str(each.value): each for each in FatType})

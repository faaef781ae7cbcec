"""All settings of an image, merged from options, manifest, configuration and defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from efi_image.build.esp import Addition, EspOptions
from efi_image.build.image import ImageOptions
from efi_image.build.output import Form, Target, form_of
from efi_image.build.partitions import ExtraPartition, Table
from efi_image.config.environment import Config, Setting
from efi_image.config.options import KEYS, ListedFile, ListedPartition, Manifest
from efi_image.config.values import parse_fat, parse_label, parse_port, parse_serial, parse_size
from efi_image.errors import UsageError
from efi_image.formats.gpt.types import parse_guid, parse_type
from efi_image.io.source import FileSource

SMALLEST = "min"


class Hypervisor(Enum):
    """Whether zpp is started, is on the image without being started, or is not there."""

    ON = "on"
    OFF = "off"
    NONE = "none"


def parse_partition(text: str) -> ListedPartition:
    """FILE:TYPE or FILE:TYPE:NAME of the option --partition."""
    file, type_, name = [*text.split(":"), "", ""][:3]
    if not file or not type_ or text.count(":") > 2:
        raise UsageError(
            f"expected FILE:TYPE or FILE:TYPE:NAME, not '{text}'",
            where="--partition",
            hint="a manifest can name files with colons",
        )
    return ListedPartition(file, type_, name, "", "--partition")


def _choice(setting: Setting, names: Iterable[str]) -> str:
    known = list(names)
    if setting.value not in known:
        raise UsageError(
            f"expected {', '.join(known[:-1])} or {known[-1]}, not '{setting.value}'",
            where=setting.origin,
        )
    return setting.value


def _extra(each: ListedPartition) -> ExtraPartition:
    return ExtraPartition(
        source=FileSource.open(each.source),
        type=parse_type(each.type, each.origin),
        name=each.name,
        guid=parse_guid(each.guid, each.origin) if each.guid else None,
    )


@dataclass(frozen=True, slots=True)
class Recipe:
    """What image is made, from what; every key of KEYS is in `settings`."""

    settings: Mapping[str, Setting]
    boots: tuple[str, ...] = ()
    files: tuple[ListedFile, ...] = ()
    partitions: tuple[ListedPartition, ...] = ()

    def value(self, key: str) -> str:
        """A setting's text; '' if it is not set."""
        return self.settings[key].value

    def esp_options(self) -> EspOptions:
        """What goes onto the ESP; raises UsageError."""
        hypervisor = Hypervisor(_choice(self.settings["hypervisor"], [h.value for h in Hypervisor]))
        return EspOptions(
            build_directory=self.value("build-dir"),
            kernel=self.value("kernel"),
            initrd=self.value("initrd"),
            cmdline=self.value("cmdline"),
            additions=tuple(Addition(each.source, each.target) for each in self.files),
            hypervisor=hypervisor is Hypervisor.ON,
            serial=parse_port(*self._pair("serial")),
            bare=hypervisor is Hypervisor.NONE,
            boots=self.boots,
        )

    def _pair(self, key: str) -> tuple[str, str]:
        return self.settings[key].value, self.settings[key].origin

    def image_options(self, seconds: int) -> ImageOptions:
        """What kind of image it is; raises UsageError or InputError."""
        text = {key: setting.value for key, setting in self.settings.items() if setting.value}
        minimal = text.get("size") == SMALLEST
        options = ImageOptions(
            minimal=minimal,
            table=Table(_choice(self.settings["table"], [table.value for table in Table])),
            sector_size=int(_choice(self.settings["sector-size"], ("512", "4096"))),
            alignment=parse_size(*self._pair("align")),
            label=parse_label(*self._pair("label")),
            partitions=tuple(_extra(each) for each in self.partitions),
            seconds=seconds,
        )
        if "size" in text and not minimal:
            options = replace(options, size=parse_size(*self._pair("size")))
        if "fat" in text:
            options = replace(options, fat=parse_fat(*self._pair("fat")))
        if "volume-serial" in text:
            options = replace(options, volume_serial=parse_serial(*self._pair("volume-serial")))
        if "digest" in text:
            digest = _choice(self.settings["digest"], ("on", "off")) == "on"
            options = replace(options, digest=digest)
        return replace(options, **self._identities(options.table, text))

    def _identities(self, table: Table, text: Mapping[str, str]) -> dict[str, Any]:
        """The disk's and the ESP's own; raises UsageError for what the table does not have."""
        for key, is_there in (
            ("disk-guid", table.is_gpt),
            ("partition-guid", table.is_gpt),
            ("disk-signature", table is Table.MBR),
        ):
            if key in text and not is_there:
                where = self.settings[key].origin
                raise UsageError(f"there is none with the table '{table.value}'", where=where)
        found: dict[str, Any] = {}
        for key, name in (("disk-guid", "disk_guid"), ("partition-guid", "partition_guid")):
            if key in text:
                found[name] = parse_guid(*self._pair(key))
        if "disk-signature" in text:
            found["disk_signature"] = parse_serial(*self._pair("disk-signature"))
        return found

    def target(self) -> Target:
        """Where the image goes, and in which form; raises UsageError."""
        output, bmap = self.value("output"), self.value("bmap")
        form = form_of(output)
        if self.value("output-format"):
            chosen = self.settings["output-format"]
            form = Form(_choice(chosen, [each.value for each in Form]))
        return Target(output, form, bmap or None)


def _default_name(form: str) -> str:
    """The image's name, if none is given."""
    if form in {"", Form.RAW.value}:
        return "esp.img"
    is_stream = any(form == each.value and each.is_stream for each in Form)
    return f"esp.img.{form}" if is_stream else f"esp.{form}"


def _table_of(output: Setting) -> Setting:
    """The table that the output's name stands for: `.iso`, or `.iso.zst` and the like."""
    name = os.path.basename(output.value).lower()
    if "iso" in name.lstrip(".").split(".")[1:][-2:]:
        return Setting("table", Table.ISO.value, "suffix of the output")
    return Setting("table", Table.GPT.value, "default")


def merge(
    config: Config,
    manifest: Manifest,
    options: Iterable[Setting] = (),
    *,
    boots: tuple[str, ...] = (),
    files: tuple[ListedFile, ...] = (),
    partitions: tuple[ListedPartition, ...] = (),
) -> Recipe:
    """The merged settings; what options list is added to what the manifest lists."""
    settings = {key.name: Setting(key.name, key.default, "default") for key in KEYS.values()}
    serial = next(each for each in config.settings if each.name == "SERIAL_PORT")
    settings["serial"] = Setting("serial", serial.value, serial.origin)
    directory = config.build_folder
    settings["build-dir"] = Setting("build-dir", directory, "default")
    settings |= manifest.settings
    settings |= {option.name: option for option in options}
    if not settings["output"].value:
        name = _default_name(settings["output-format"].value)
        image = os.path.join(settings["build-dir"].value, name)
        settings["output"] = Setting("output", image, "default")
    if not settings["table"].value:
        settings["table"] = _table_of(settings["output"])
    return Recipe(
        settings,
        manifest.boots + boots,
        manifest.files + files,
        manifest.partitions + partitions,
    )

"""The settings of an image by name: as options of `make`, and as keys of a manifest.

A setting is text with the place that it comes from, until config/resolve.py gives it its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from os import PathLike, fspath
from pathlib import Path

from efi_image.build.options import Addition, ExtraPartition, OutputFormat
from efi_image.build.partitions import Table
from efi_image.config.environment import Config, Setting
from efi_image.config.values import partition


class Kind(Enum):
    """The values that a manifest takes for a key, besides a string."""

    TEXT = "text"
    PATH = "path"  # a string, relative to the manifest's folder
    NUMBER = "number"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True)
class Key:
    """A setting: its name, its default, and what `false` in a manifest means."""

    name: str
    kind: Kind = Kind.TEXT
    default: str = ""
    off: str = "off"


KEYS = {
    key.name: key
    for key in (
        Key("output", Kind.PATH),
        Key("output-format"),
        Key("bmap", Kind.PATH),
        Key("digest", Kind.SWITCH),
        Key("build-dir", Kind.PATH),
        Key("hypervisor", Kind.SWITCH, "on", off="none"),
        Key("kernel", Kind.PATH),
        Key("initrd", Kind.PATH),
        Key("cmdline"),
        Key("rootfs", Kind.PATH),
        Key("rootfs-size", Kind.NUMBER),
        Key("serial", Kind.NUMBER),
        Key("visible", Kind.SWITCH, "off"),
        Key("reset-after", Kind.NUMBER, "10"),
        Key("menu-timeout", Kind.NUMBER),
        Key("boot-tries", Kind.NUMBER),
        Key("default"),
        Key("size", Kind.NUMBER),
        Key("table"),
        Key("sector-size", Kind.NUMBER, "512"),
        Key("align", Kind.NUMBER, "1M"),
        Key("fat", Kind.NUMBER),
        Key("label", default="ZPP"),
        Key("volume-serial"),
        Key("disk-guid"),
        Key("disk-signature"),
        Key("partition-guid"),
    )
}

# the settings whose default is a variable of environment.config
CONFIGURED = {"serial": "SERIAL_PORT", "menu-timeout": "MENU_TIMEOUT", "boot-tries": "BOOT_TRIES"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings from one place, or merged from several; `values` are by key of KEYS.

    After a merge, `chosen` are the keys that options or a manifest set.
    """

    values: Mapping[str, Setting] = field(default_factory=dict)
    boot: tuple[Path, ...] = ()
    files: tuple[Addition, ...] = ()
    partitions: tuple[ExtraPartition, ...] = ()
    chosen: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Iterable[Setting]) -> Settings:
        """These settings."""
        return cls({each.name: each for each in settings})

    @classmethod
    def given(
        cls,
        values: Mapping[str, str | PathLike[str] | int | None],
        boot: Iterable[str | PathLike[str]],
        files: Iterable[tuple[str | PathLike[str], str]],
        partitions: Iterable[tuple[str | PathLike[str], str, *tuple[str, ...]]],
    ) -> Settings:
        """Settings from Python values; None: not given. Raises UsageError."""
        given = {key: value for key, value in values.items() if value is not None}
        return cls(
            {key: Setting(key, _text(given[key]), key.replace("-", "_")) for key in given},
            tuple(map(Path, boot)),
            tuple(Addition(Path(source), target, "files") for source, target in files),
            tuple(
                partition(fspath(file), kind, "".join(name), "", "partitions")
                for file, kind, *name in partitions
            ),
        )


def _text(value: str | PathLike[str] | int) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return fspath(value) if isinstance(value, PathLike) else str(value)


def merge(config: Config, *layers: Settings) -> Settings:
    """The layers over the configuration and the defaults, the strongest last.

    A value replaces that of the layer below; lists are joined.
    """
    configured = {each.name: each for each in config.settings}
    values = {key.name: Setting(key.name, key.default, "default") for key in KEYS.values()}
    for key, variable in CONFIGURED.items():
        values[key] = Setting(key, configured[variable].value, configured[variable].origin)
    values["build-dir"] = Setting("build-dir", str(config.build_directory), "default")
    for layer in layers:
        values |= layer.values
    if not values["output"].value:
        folder = Path(values["build-dir"].value) if config.root else Path()
        path = folder / _default_name(values["output-format"].value)
        values["output"] = Setting("output", str(path), "default")
    if not values["table"].value:
        values["table"] = _default_table(values["output"].value)
    return Settings(
        values,
        tuple(each for layer in layers for each in layer.boot),
        tuple(each for layer in layers for each in layer.files),
        tuple(each for layer in layers for each in layer.partitions),
        frozenset(key for layer in layers for key, each in layer.values.items() if each.value),
    )


def _default_name(output_format: str) -> str:
    """The image's name if none is given."""
    is_stream = any(output_format == each.value and each.is_stream for each in OutputFormat)
    if output_format in {"", OutputFormat.RAW.value}:
        return "esp.img"
    return f"esp.img.{output_format}" if is_stream else f"esp.{output_format}"


def _default_table(output: str) -> Setting:
    """The table that the output's name stands for: `.iso`, or `.iso.zst` and the like."""
    suffixes = Path(output).name.lower().lstrip(".").split(".")[1:]
    if "iso" in suffixes[-2:]:
        return Setting("table", Table.ISO.value, "suffix of the output")
    return Setting("table", Table.GPT.value, "default")

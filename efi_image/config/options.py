"""The settings of an image by name: as options of `make`, and as keys of a manifest.

A setting is text with the place it comes from. An option is stronger than the manifest,
the manifest than the configuration and the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from efi_image.config.environment import Setting


class Kind(Enum):
    """What a manifest may give for a key beside a string."""

    TEXT = "text"
    PATH = "path"  # a string, relative to the manifest's folder
    NUMBER = "number"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True)
class Key:
    """A setting: its name, its default, what `false` in a manifest means."""

    name: str
    kind: Kind = Kind.TEXT
    default: str = ""
    off: str = "off"


@dataclass(frozen=True, slots=True)
class ListedFile:
    """Files to put on the image, and where that is said."""

    source: str
    target: str
    origin: str


@dataclass(frozen=True, slots=True)
class ListedPartition:
    """A further partition as it is asked for, and where."""

    source: str
    type: str
    name: str
    guid: str
    origin: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says; `settings` by key."""

    settings: Mapping[str, Setting] = field(default_factory=dict)
    boots: tuple[str, ...] = ()
    files: tuple[ListedFile, ...] = ()
    partitions: tuple[ListedPartition, ...] = ()


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
        Key("serial", Kind.NUMBER),
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

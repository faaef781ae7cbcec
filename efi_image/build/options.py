"""What decides an image: one frozen object, resolved from options, manifest and configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from uuid import UUID

from efi_image.build.partitions import Table
from efi_image.errors import UsageError
from efi_image.formats.fat.geometry import MIB, FatType
from efi_image.formats.gpt.types import PartitionType

STANDARD_OUTPUT = Path("-")


class Hypervisor(Enum):
    """Whether the boot program starts zpp, skips it, or is not on the image at all."""

    ON = "on"
    OFF = "off"
    NONE = "none"


class OutputFormat(Enum):
    """Formats of an image file; the value is also the file's suffix."""

    RAW = "raw"
    GZIP = "gz"
    XZ = "xz"
    ZSTD = "zst"
    QCOW2 = "qcow2"
    VHD = "vhd"
    VHDX = "vhdx"
    VMDK = "vmdk"
    VDI = "vdi"

    @property
    def is_stream(self) -> bool:
        """Whether it is written front to back."""
        return self in {OutputFormat.RAW, OutputFormat.GZIP, OutputFormat.XZ, OutputFormat.ZSTD}

    @classmethod
    def of(cls, path: Path) -> OutputFormat:
        """The format that a file's suffix stands for; raw if it stands for none."""
        suffix = path.suffix[1:].lower()
        return next((each for each in cls if each.value == suffix), cls.RAW)


@dataclass(frozen=True, slots=True)
class Addition:
    """Files to add: a file, a directory or a pattern, and its path on the image."""

    source: Path
    target: str
    origin: str = "--add"

    @classmethod
    def parse(cls, text: str) -> Addition:
        """SOURCE:TARGET; FAT allows no colon in TARGET, so the last one divides.

        Raises UsageError.
        """
        source, colon, target = text.rpartition(":")
        if not colon or not source:
            raise UsageError("expected SOURCE:TARGET, such as docs:/docs", where=text)
        return cls(Path(source), target)


@dataclass(frozen=True, slots=True)
class ExtraPartition:
    """A partition with the bytes of a file; without a GUID, one is derived from the content."""

    source: Path
    type: PartitionType
    name: str = ""
    guid: UUID | None = None
    origin: str = "--partition"


@dataclass(frozen=True, slots=True)
class ResolvedOptions:
    """Everything that decides an image. Sizes are in bytes; None means: chosen or derived.

    Without `size` the image is as large as it needs to be, at least DEFAULT_SIZE;
    `minimal` makes it as small as possible. `digest` computes SHA-256 sums. `seconds` is
    the time of all files (since 1970, UTC). `origins` names the place that set a value.
    """

    output: Path
    output_format: OutputFormat = OutputFormat.RAW
    bmap: Path | None = None
    digest: bool = False
    # the files of the volume
    build_directory: Path = Path()
    hypervisor: Hypervisor = Hypervisor.ON
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""
    rootfs: Path | None = None
    rootfs_size: int | None = None
    serial_port: int = 0x3F8
    visible: bool = False
    reset_after: int = 10
    menu_timeout: int = 0
    boot_tries: int = 3
    default_entry: str = ""
    boot: tuple[Path, ...] = ()
    files: tuple[Addition, ...] = ()
    # the disk and the volume
    size: int | None = None
    minimal: bool = False
    table: Table = Table.GPT
    partitions: tuple[ExtraPartition, ...] = ()
    sector_size: int = 512
    alignment: int = MIB
    fat: FatType | None = None
    label: str = "ZPP"
    # identities
    volume_serial: int | None = None
    disk_guid: UUID | None = None
    disk_signature: int | None = None
    partition_guid: UUID | None = None
    seconds: int = 0
    origins: Mapping[str, str] = field(default_factory=dict)

    def where(self, key: str) -> str:
        """The place to name in an error about the setting `key`: the manifest, or the option."""
        return self.origins.get(key, f"--{key}")

    @property
    def to_standard_output(self) -> bool:
        """Whether the image goes to standard output."""
        return self.output == STANDARD_OUTPUT

    @property
    def output_name(self) -> str:
        """The name of the output for messages."""
        return "standard output" if self.to_standard_output else str(self.output)

"""What verify is asked for beyond the image itself."""

from __future__ import annotations

from dataclasses import dataclass

from efi_image.formats.pe.uefi import Machine
from efi_image.progress import Progress
from efi_image.verify.secure_boot import Keys


@dataclass(frozen=True)
class Options:
    """The medium's sector size, the machines that shall boot, Secure Boot's keys.

    `second_opinion` asks pyfatfs to read all files as well. `progress` is told of the bytes that
    were looked at: of each volume in use, then of its directories.

    None and empty: not asked for.
    """

    sector_size: int | None = None
    machines: tuple[Machine, ...] = ()
    keys: Keys | None = None
    second_opinion: bool = False
    progress: Progress | None = None

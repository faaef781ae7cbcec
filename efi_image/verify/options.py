"""What verify checks beyond the image itself."""

from __future__ import annotations

from dataclasses import dataclass

from efi_image.formats.pe.uefi import Machine
from efi_image.progress import Progress
from efi_image.verify.secure_boot import Keys


@dataclass(frozen=True, slots=True)
class Options:
    """What `verify` checks beyond the image itself; None or empty: not checked.

    `sector_size` is the medium's, in bytes. `machines` are those that must be able to boot.
    `keys` are Secure Boot's db and dbx. `cross_check` reads every file with pyfatfs as well.
    `progress` gets the bytes that were checked: of each volume in use, then of its directories.
    """

    sector_size: int | None = None
    machines: tuple[Machine, ...] = ()
    keys: Keys | None = None
    cross_check: bool = False
    progress: Progress | None = None

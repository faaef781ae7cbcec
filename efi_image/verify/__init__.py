"""Why does it not boot? Numbered findings about an image, and their repair.

rules         every rule: what is wrong, the consequence, the fix
finding       a broken rule in one location, and the bytes that repair it
context       the part of the image that a check looks at
report        `verify`: check an image, report the findings
written       `verify_written`: compare a device with its image
repair        `repair` and `undo`: --fix and --undo
undo          the undo file
disk          an image as a whole
mbr, gpt      partition tables
fat/          FAT volumes
boot_path     the boot path, its PE files, zpp.conf
secure_boot   signatures against db and dbx
cross_check   pyfatfs as an independent reader

A check adds findings to its CheckContext. It raises InputError only if the medium itself cannot
be read.
"""

from efi_image.verify.finding import Finding
from efi_image.verify.options import Options
from efi_image.verify.repair import Repaired, repair, undo
from efi_image.verify.report import Report, verify
from efi_image.verify.rules import Severity
from efi_image.verify.written import verify_written

__all__ = [
    "Finding", "Options", "Repaired", "Report", "Severity", "repair", "undo", "verify",
    "verify_written",
]  # fmt: skip

"""Why does it not boot? Numbered findings about an image, and their mending.

finding     rules, findings, patches
catalogue   every rule
disk        an image as a whole
mbr, gpt    partition tables
fat*        FAT volumes
boot, pe_*  the boot path, PE files, zpp.conf
signature   Secure Boot's db and dbx
mend        --fix
"""

from efi_image.verify.finding import Finding, Severity
from efi_image.verify.options import Options
from efi_image.verify.repair import Mended, mend
from efi_image.verify.report import Report, verify

__all__ = ["Finding", "Mended", "Options", "Report", "Severity", "mend", "verify"]

"""FAT12, FAT16 and FAT32 volumes, which the tool reads, checks, and writes in one pass.

bpb         the boot sector and FSInfo
geometry    the type, and the sizes and places of a volume's parts
allocation  the file allocation table
directory   directory entries
long_names  the entries of long names
names       the names that FAT can have, and their 8.3 aliases
tree        directories and files before they have a place
reader      a volume that is read
writer      a volume that is planned and written

Specification: Microsoft, FAT: General Overview of On-Disk Format 1.03 (fatgen103, 2000).
"""

from efi_image.formats.fat.geometry import FatType, Layout
from efi_image.formats.fat.names import check_name, parse_path
from efi_image.formats.fat.tree import Tree
from efi_image.formats.fat.writer import Volume, VolumeContents, VolumeIdentity, plan

__all__ = [
    "FatType",
    "Layout",
    "Tree",
    "Volume",
    "VolumeContents",
    "VolumeIdentity",
    "check_name",
    "parse_path",
    "plan",
]

"""FAT12, FAT16 and FAT32 volumes, planned as a whole and written once, front to back.

names     what FAT can hold, and the 8.3 aliases
layout    the sizes and places of a volume's parts
tree      directories and files before they have a place
volume    the plan of a volume, and its writing
"""

from efi_image.formats.fat.geometry import FatType, Layout
from efi_image.formats.fat.names import check_name, parse_path, show_path
from efi_image.formats.fat.tree import Tree
from efi_image.formats.fat.writer import Demand, Identity, Volume, plan

__all__ = [
    "Demand",
    "FatType",
    "Identity",
    "Layout",
    "Tree",
    "Volume",
    "check_name",
    "parse_path",
    "plan",
    "show_path",
]

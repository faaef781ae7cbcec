"""FAT12, FAT16 and FAT32 volumes, planned as a whole and written once, front to back.

names     what FAT can hold, and the 8.3 aliases
layout    the sizes and places of a volume's parts
tree      directories and files before they have a place
volume    the plan of a volume, and its writing
"""

from efi_image.fat.layout import FatType, Layout
from efi_image.fat.names import check_name, parse_path, show_path
from efi_image.fat.tree import Tree
from efi_image.fat.volume import Demand, Identity, Volume, plan

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

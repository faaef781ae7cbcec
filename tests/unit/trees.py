"""Trees of files in memory, of which tests make images."""

from __future__ import annotations

from collections.abc import Mapping

from efi_image.formats.fat import Tree, parse_path
from efi_image.io.source import BytesSource, Source


def tree_of(files: Mapping[str, bytes | Source]) -> Tree:
    """A tree with these files; bytes stand for a file with them."""
    tree = Tree()
    for path, data in files.items():
        source = BytesSource(path, data) if isinstance(data, bytes) else data
        tree.add(parse_path(path), source)
    return tree

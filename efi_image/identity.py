"""What tells an image from others: a digest that its serial number and GUIDs come from.

It is of the names and sizes of all files, and of the first and last bytes of the first
SAMPLED of them (docs/adr/0006): so no file has to be read twice, and images whose programs
or configuration differ have another identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from efi_image.fat import show_path
from efi_image.fat.tree import File

SAMPLED = 256  # files
SAMPLE = 4096  # bytes, at each end


def content_digest(kind: Sequence[int], files: Iterable[tuple[tuple[str, ...], File]]) -> bytes:
    """The digest of an image: `kind` is what else tells it from another with the same files."""
    digest = hashlib.sha256(repr([int(number) for number in kind]).encode())
    for index, (path, file) in enumerate(files):
        digest.update(f"{show_path(path)}\0{file.size}\0".encode())
        if index < SAMPLED:
            digest.update(_sample(file))
    return digest.digest()


def _sample(file: File) -> bytes:
    source, size = file.source, file.size
    if size <= 2 * SAMPLE:
        return source.read_at(0, size)
    return source.read_at(0, SAMPLE) + source.read_at(size - SAMPLE, SAMPLE)

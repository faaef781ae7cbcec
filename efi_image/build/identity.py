"""The identity of an image: a digest from which its serial number and GUIDs are derived.

It covers the names and sizes of all files, and the first and last bytes of the first
SAMPLED of them (docs/adr/0006): so no file has to be read twice, and images whose programs
or configuration differ have another identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from uuid import UUID

from efi_image.formats.fat.tree import File
from efi_image.io.source import Source

SAMPLED = 256  # files
SAMPLE = 4096  # bytes, at each end


def content_digest(
    kind: Sequence[object],
    files: Iterable[tuple[str, File]],
    partitions: Iterable[Source] = (),
) -> bytes:
    """The digest of an image; `kind` are the options that change the image."""
    digest = blake2b(repr(kind).encode(), digest_size=32)
    for source in partitions:
        digest.update(f"{source.size}\0".encode())
        digest.update(_sample(source, source.size))
    for index, (path, file) in enumerate(files):
        digest.update(f"{path}\0{file.size}\0".encode())
        if index < SAMPLED:
            digest.update(_sample(file.source, file.size))
    return digest.digest()


def derived_guid(digest: bytes, name: str) -> UUID:
    """A GUID that is the same for the same digest and name: a UUID of version 8 (RFC 9562)."""
    data = bytearray(blake2b(digest + name.encode(), digest_size=16).digest())
    data[6] = 0x80 | data[6] & 0x0F
    data[8] = 0x80 | data[8] & 0x3F
    return UUID(bytes=bytes(data))


def _sample(source: Source, size: int) -> bytes:
    if size <= 2 * SAMPLE:
        return source.read_at(0, size)
    return source.read_at(0, SAMPLE) + source.read_at(size - SAMPLE, SAMPLE)

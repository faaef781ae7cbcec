"""The file allocation table: its bytes made of chains, and taken apart into entries.

Microsoft, FAT: General Overview of On-Disk Format 1.03, "FAT Data Structure".
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator

from efi_image.formats.fat.geometry import FIRST_CLUSTER, MEDIA, FatType

CHUNK = 1 << 16  # entries made at a time

Chain = tuple[int, int]  # the first cluster, and how many there are


def _entries(kind: FatType, chains: Iterable[Chain]) -> Iterator[array[int]]:
    """The entries of a FAT up to the last one in use, in pieces of about CHUNK."""
    end = kind.end_of_chain
    code = "I" if kind is FatType.FAT32 else "H"
    piece = array(code, [end & ~0xFF | MEDIA, end])
    cluster = FIRST_CLUSTER
    for first, length in chains:
        if first > cluster:
            piece.extend([0] * (first - cluster))
        last = first + length - 1
        cluster = first
        while last - cluster >= CHUNK:
            piece.extend(range(cluster + 1, cluster + 1 + CHUNK))
            cluster += CHUNK
            yield piece
            piece = array(code)
        piece.extend(range(cluster + 1, last + 1))
        piece.append(end)
        cluster = last + 1
        if len(piece) >= CHUNK:
            yield piece
            piece = array(code)
    yield piece


def pack_fat(kind: FatType, chains: Iterable[Chain]) -> Iterator[bytes]:
    """The bytes of a FAT up to the last entry in use, in pieces.

    The chains are contiguous, and in the order of their clusters.
    """
    for piece in _entries(kind, chains):
        if kind is FatType.FAT12:
            yield _packed12(piece)
        else:
            if sys.byteorder == "big":
                piece.byteswap()
            yield piece.tobytes()


def _packed12(entries: array[int]) -> bytes:
    """Two entries in three bytes."""
    padded = [*entries, 0] if len(entries) % 2 else list(entries)
    pairs = zip(padded[::2], padded[1::2], strict=True)
    return b"".join((low | high << 12).to_bytes(3, "little") for low, high in pairs)


def unpack_fat(kind: FatType, raw: bytes) -> array[int]:
    """The entries in a piece of a FAT that begins with an even one, raw.

    FAT32's upper four bits are not cleared.
    """
    if kind is FatType.FAT12:
        return _unpacked12(raw)
    entries = array("I" if kind is FatType.FAT32 else "H")
    entries.frombytes(raw[: len(raw) - len(raw) % entries.itemsize])
    if sys.byteorder == "big":
        entries.byteswap()
    return entries


def _unpacked12(raw: bytes) -> array[int]:
    """Two entries in three bytes."""
    entries = array("H")
    for index in range(0, len(raw) - 1, 3):
        entries.append((raw[index] | raw[index + 1] << 8) & 0xFFF)
        if index + 2 < len(raw):
            entries.append(raw[index + 1] >> 4 | raw[index + 2] << 4)
    return entries


def set_entry(raw: bytearray, kind: FatType, index: int, value: int) -> None:
    """Set an entry in a FAT's bytes; FAT32's upper four bits stay."""
    start = index * kind.value // 8
    if kind is FatType.FAT12:
        old = int.from_bytes(raw[start : start + 2], "little")
        shift = 4 * (index % 2)
        new = old & ~(0xFFF << shift) | value << shift
        raw[start : start + 2] = new.to_bytes(2, "little")
        return
    end = start + kind.value // 8
    kept = int.from_bytes(raw[start:end], "little") & ~kind.end_of_chain
    raw[start:end] = (kept | value).to_bytes(end - start, "little")

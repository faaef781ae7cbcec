"""The bytes of a FAT, made piece by piece from the places of its chains, all contiguous."""

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


def pieces(kind: FatType, chains: Iterable[Chain]) -> Iterator[bytes]:
    """The bytes of a FAT up to the last entry in use; the chains are in the order of clusters."""
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

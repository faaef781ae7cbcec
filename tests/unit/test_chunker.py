"""How an image is cut into pieces."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from efi_image.errors import (
    InputError,
)
from efi_image.flash.chunker import GRAIN, PIECE, Cell, Chunker, joined


class Pieces:
    """Lends buffers, and keeps the cells that a chunker gives."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.lent = 0

    def take(self, cell: Cell) -> None:
        for start, end in cell.runs:
            self.pieces.append((cell.offset + start, bytes(cell.buffer[start:end])))
        self.release(cell.buffer)

    def buffer(self) -> memoryview:
        self.lent += 1
        return memoryview(bytearray(b"old!" * (PIECE // 4)))

    def release(self, buffer: memoryview) -> None:
        assert len(buffer) == PIECE
        self.lent -= 1


def test_cells_are_filled_where_they_are_lent() -> None:
    """Without a copy; holes of a cell are left out, and nothing of a cell that failed is kept."""
    given = Pieces()
    chunker = Chunker(given, given.take)
    full, torn = os.urandom(PIECE), os.urandom(GRAIN) + bytes(PIECE - GRAIN)

    def put(data: bytes) -> Callable[[memoryview], None]:
        return lambda view: view.__setitem__(slice(None), data)

    chunker.write_at(7, memoryview(b"before"))
    for cell, data in ((1, full), (2, torn), (3, bytes(PIECE)), (4, full[:GRAIN])):
        chunker.fill_at(cell * PIECE, len(data), put(data))
    with pytest.raises(InputError):
        chunker.fill_at(5 * PIECE, PIECE, fails)
    chunker.finish()
    assert given.lent == 0
    assert [offset for offset, _ in given.pieces] == [0, PIECE, 2 * PIECE, 4 * PIECE]
    assert given.pieces[0][1] == (bytes(7) + b"before").ljust(GRAIN, b"\0")
    assert [data for _, data in given.pieces[1:]] == [full, torn[:GRAIN], full[:GRAIN]]


def fails(_view: memoryview) -> None:
    raise InputError("fails")


def test_the_chunker_cuts_on_the_grid() -> None:
    given = Pieces()
    chunker = Chunker(given, given.take)
    for position, data in (
        (5, b"a"), (GRAIN + 1, b"b"), (3 * GRAIN, bytes(GRAIN)), (4 * GRAIN - 1, b"c"),
        (PIECE - 1, b"de"), (9 * PIECE, os.urandom(PIECE)), (11 * PIECE + 7, b"f"),
    ):  # fmt: skip
        chunker.write_at(position, memoryview(data))
    chunker.finish()
    shown = [(offset, len(data)) for offset, data in given.pieces]
    assert shown == [
        (0, 2 * GRAIN), (3 * GRAIN, GRAIN), (PIECE - GRAIN, GRAIN), (PIECE, GRAIN),
        (9 * PIECE, PIECE), (11 * PIECE, GRAIN),
    ]  # fmt: skip
    whole = bytearray(12 * PIECE)
    for offset, data in given.pieces:
        whole[offset : offset + len(data)] = data
    assert whole[5:6] + whole[GRAIN + 1 : GRAIN + 2] + whole[PIECE - 1 : PIECE + 1] == b"abde"
    assert whole[11 * PIECE : 11 * PIECE + GRAIN] == bytes(7) + b"f" + bytes(GRAIN - 8)


def test_clipped_cells() -> None:
    cell = Cell(PIECE, memoryview(bytes(PIECE)), ((0, 2 * GRAIN), (4 * GRAIN, 8 * GRAIN)))
    clipped = cell.clipped(PIECE + GRAIN, PIECE + 6 * GRAIN)
    assert clipped.runs == ((GRAIN, 2 * GRAIN), (4 * GRAIN, 6 * GRAIN))
    assert cell.clipped(0, PIECE).runs == ()


def test_places_that_touch_are_one() -> None:
    assert joined([(0, 4), (4, 4), (12, 4), (16, 8)]) == ((0, 8), (12, 12))
    assert joined([]) == ()

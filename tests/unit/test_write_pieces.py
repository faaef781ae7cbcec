"""How an image is cut into pieces."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from efi_image.errors import (
    InputError,
)
from efi_image.flash.chunker import GRAIN, PIECE, Assembler, joined


class Pieces:
    """Keeps what an assembler gives."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.lent = 0

    def piece(self, offset: int, view: memoryview) -> None:
        self.pieces.append((offset, bytes(view)))

    def lend(self) -> memoryview | None:
        self.lent += 1
        return memoryview(bytearray(PIECE))

    def cell(self, offset: int, buffer: memoryview) -> None:
        self.lent -= 1
        self.piece(offset, buffer)

    def release(self, buffer: memoryview) -> None:
        self.lent -= 1


def test_cells_are_filled_where_they_are_lent() -> None:
    """Whole ones without a copy; one with a hole in it is cut."""
    told = Pieces()
    assembler = Assembler(told)
    full, torn = os.urandom(PIECE), os.urandom(GRAIN) + bytes(PIECE - GRAIN)

    def put(data: bytes) -> Callable[[memoryview], None]:
        return lambda view: view.__setitem__(slice(None), data)

    assembler.data(7, memoryview(b"before"))
    for cell, data in ((1, full), (2, torn), (3, bytes(PIECE)), (4, full[:GRAIN])):
        assembler.fill(cell * PIECE, len(data), put(data))
    with pytest.raises(InputError):
        assembler.fill(5 * PIECE, PIECE, fails)
    assembler.finish()
    assert told.lent == 0
    assert [offset for offset, _ in told.pieces] == [0, PIECE, 2 * PIECE, 4 * PIECE]
    assert [data for _, data in told.pieces[1:]] == [full, torn[:GRAIN], full[:GRAIN]]


def fails(_view: memoryview) -> None:
    raise InputError("fails")


def test_the_assembler_cuts_on_the_grid() -> None:
    told = Pieces()
    assembler = Assembler(told)
    for position, data in (
        (5, b"a"), (GRAIN + 1, b"b"), (3 * GRAIN, bytes(GRAIN)), (4 * GRAIN - 1, b"c"),
        (PIECE - 1, b"de"), (9 * PIECE, os.urandom(PIECE)), (11 * PIECE + 7, b"f"),
    ):  # fmt: skip
        assembler.data(position, memoryview(data))
    assembler.finish()
    shown = [(offset, len(data)) for offset, data in told.pieces]
    assert shown == [
        (0, 2 * GRAIN), (3 * GRAIN, GRAIN), (PIECE - GRAIN, GRAIN), (PIECE, GRAIN),
        (9 * PIECE, PIECE), (11 * PIECE, GRAIN),
    ]  # fmt: skip
    whole = bytearray(12 * PIECE)
    for offset, data in told.pieces:
        whole[offset : offset + len(data)] = data
    assert whole[5:6] + whole[GRAIN + 1 : GRAIN + 2] + whole[PIECE - 1 : PIECE + 1] == b"abde"
    assert whole[11 * PIECE : 11 * PIECE + GRAIN] == bytes(7) + b"f" + bytes(GRAIN - 8)


def test_places_that_touch_are_one() -> None:
    assert joined([(0, 4), (4, 4), (12, 4), (16, 8)]) == ((0, 8), (12, 12))
    assert joined([]) == ()

"""Serial bytes as readable text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efi_image.emulator.serial import SerialText

SAMPLE = (
    b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[8;056;240tBdsDxe: loading\r\n"
    b"\x1b[0m\x1b[33m\x1b[40mShell> \x1b[37m\x1b[40mfs0:\r\n"
    b"\x1b]0;title\x07caf\xc3\xa9 \xff\r\r\n\tend\x00\x08\x1b(B"
)
TEXT = "BdsDxe: loading\nShell> fs0:\ncafé \N{REPLACEMENT CHARACTER}\n\tend"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (SAMPLE, TEXT),
        (b"a\r\nb\nc\rd", "a\nb\nc\nd"),
        (b"one\x1b[05;01Htwo", "one\ntwo"),
        (b"10%\x1b[K", "10%"),
        (b"a\n\n\n\nb", "a\nb"),
        (b"\x1b[1;31", "[1;31"),  # what never ended shows as it came, less the escape
    ],
)
def test_readable(data: bytes, text: str) -> None:
    assert SerialText().feed(data, final=True) == text


@given(st.lists(st.integers(0, len(SAMPLE)), max_size=12))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    readable = SerialText()
    edges = [0, *sorted(cuts), len(SAMPLE)]
    pieces = [SAMPLE[a:b] for a, b in itertools.pairwise(edges)]
    text = "".join(readable.feed(piece) for piece in pieces) + readable.feed(b"", final=True)
    assert text == TEXT


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_in_any_pieces(data: bytes, cut: int) -> None:
    whole = SerialText().feed(data, final=True)
    readable = SerialText()
    assert readable.feed(data[:cut]) + readable.feed(data[cut:], final=True) == whole
    assert all(char.isprintable() or char in "\n\t" or ord(char) > 0x9F for char in whole)

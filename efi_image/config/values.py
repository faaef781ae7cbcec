"""Values of options as people write them; each parser raises UsageError at `where`."""

from __future__ import annotations

import re

from efi_image.errors import UsageError
from efi_image.formats.fat import FatType

MAX_LABEL = 11

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_SUFFIXES = {unit + end: shift for unit, shift in _UNITS.items() for end in ("", "B", "IB")}
_NOT_IN_LABEL = frozenset('"*+,./:;<=>?[\\]|')


def parse_size(text: str, where: str) -> int:
    """Bytes: `65536`, `64M`, `1GiB` (units are powers of 1024)."""
    word = text.strip()
    digits = word.rstrip("BIKMGTbikmgt")
    shift = _SUFFIXES.get(word[len(digits) :].upper())
    if shift is None or not re.fullmatch("[0-9]{1,15}", digits):
        raise UsageError(f"expected a size such as 64M or 1G, not '{text}'", where=where)
    return int(digits) << shift


def parse_port(text: str, where: str) -> int:
    """An I/O port, or 0 for none."""
    word = text.strip()
    port = -1
    if re.fullmatch("0[xX][0-9a-fA-F]{1,4}", word):
        port = int(word, 16)
    elif re.fullmatch("[0-9]{1,5}", word):
        port = int(word)
    if not 0 <= port <= 0xFFF8:
        raise UsageError(f"expected an I/O port such as 0x3f8, or 0, not '{text}'", where=where)
    return port


def parse_label(text: str, where: str) -> str:
    """A volume label, in upper case as FAT has it."""
    label = text.upper()
    bad = next((c for c in label if not " " <= c <= "~" or c in _NOT_IN_LABEL), None)
    if bad is not None:
        raise UsageError(f"a volume label cannot contain {bad!r}", where=where)
    if not label.strip() or label != label.strip() or len(label) > MAX_LABEL:
        raise UsageError(
            f"expected 1 to {MAX_LABEL} characters without blanks around them, not '{text}'",
            where=where,
        )
    return label


def parse_serial(text: str, where: str) -> int:
    """A number of 32 bits in hexadecimal: `1234-ABCD`, `1234abcd`, `0x1234abcd`."""

    match = re.fullmatch(r"(?:0x)?([0-9a-f]{4})-?([0-9a-f]{4})", text.strip(), re.I | re.ASCII)
    if match is None:
        raise UsageError(f"expected eight digits such as 1234-ABCD, not '{text}'", where=where)
    return int(match[1] + match[2], 16)


def parse_fat(text: str, where: str) -> FatType:
    """12, 16 or 32."""
    if text not in {"12", "16", "32"}:
        raise UsageError(f"expected 12, 16 or 32, not '{text}'", where=where)
    return FatType(int(text))

"""Values as people write them; each parser raises UsageError that names the place `where`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar

from efi_image.build.options import ExtraPartition
from efi_image.errors import UsageError
from efi_image.formats.gpt.types import parse_guid, parse_type
from efi_image.formats.zpp_conf import BOOT_TRIES_MAX, MENU_TIMEOUT_MAX, RESET_AFTER_MAX

MAX_LABEL = 11

ROOTFS_MIN, ROOTFS_MAX = 1 << 20, 1 << 44  # ext4 counts 2^32 blocks of 4 KiB

_PREFIXES = "KMGT"
_UNITS: dict[str, int] = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate(_PREFIXES, 1)},
    **{letter: 1024**power for power, letter in enumerate(_PREFIXES, 1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate(_PREFIXES, 1)},
}
_NOT_IN_LABEL = frozenset('"*+,./:;<=>?[\\]|')

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


def choice(text: str, where: str, choices: Mapping[str, T]) -> T:
    """The value with that name."""
    if text in choices:
        return choices[text]
    *names, last = choices
    raise UsageError(f"expected {', '.join(names)} or {last}, not '{text}'", where=where)


def member_of(kind: type[E]) -> Callable[[str, str], E]:
    """A parser of the values of an enum."""
    names = {str(each.value): each for each in kind}
    return lambda text, where: choice(text, where, names)


def parse_switch(text: str, where: str) -> bool:
    """`on` or `off`."""
    return choice(text, where, {"on": True, "off": False})


def parse_size(text: str, where: str) -> int:
    """Bytes: `65536`, `64M` and `1.5GiB` in powers of 1024, `8GB` in powers of 1000."""
    match = re.fullmatch(r"([0-9]{1,15})(?:\.([0-9]{1,9}))?([A-Za-z]*)", text.strip())
    unit = _UNITS.get(match[3].upper()) if match else None
    if match is None or unit is None:
        raise UsageError(f"expected a size such as 64M or 1.5G, not '{text}'", where=where)
    fraction = match[2] or "0"
    return int(match[1]) * unit + int(fraction) * unit // int("1" + "0" * len(fraction))


def parse_rootfs_size(text: str, where: str) -> int:
    """The bytes of a root file system."""
    size = parse_size(text, where)
    if not ROOTFS_MIN <= size <= ROOTFS_MAX:
        raise UsageError(f"must be from 1M to 16T, not '{text}'", where=where)
    return size


def parse_sector_size(text: str, where: str) -> int:
    """512 or 4096 bytes."""
    return choice(text, where, {"512": 512, "4096": 4096})


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


def up_to(most: int, unit: str = "") -> Callable[[str, str], int]:
    """A parser of decimal numbers from 0 to `most`."""

    def parse(text: str, where: str) -> int:
        word = text.strip()
        if not re.fullmatch("[0-9]{1,9}", word) or int(word) > most:
            raise UsageError(f"expected 0 to {most}{unit}, not '{text}'", where=where)
        return int(word)

    return parse


parse_reset_after = up_to(RESET_AFTER_MAX, " seconds")
parse_menu_timeout = up_to(MENU_TIMEOUT_MAX, " seconds")
parse_boot_tries = up_to(BOOT_TRIES_MAX)


def parse_label(text: str, where: str) -> str:
    """A volume label, in upper case as FAT stores it."""
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


def parse_seconds(text: str, where: str) -> int:
    """Seconds since 1970."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise UsageError(f"must be a number of seconds, not '{text}'", where=where)
    return int(text)


def parse_partition(text: str, where: str) -> ExtraPartition:
    """FILE:TYPE or FILE:TYPE:NAME."""
    file, kind, name = [*text.split(":"), "", ""][:3]
    if not file or not kind or text.count(":") > 2:
        raise UsageError(
            f"expected FILE:TYPE or FILE:TYPE:NAME, not '{text}'",
            where=where,
            hint="a manifest can name files with colons",
        )
    return partition(file, kind, name, "", where)


def partition(file: str, kind: str, name: str, guid: str, where: str) -> ExtraPartition:
    """A further partition; without a GUID, one is derived."""
    return ExtraPartition(
        Path(file),
        parse_type(kind, where),
        name,
        parse_guid(guid, where) if guid else None,
        where,
    )

"""EFI programs with single faults: the rules of `verify` that find them. Knows PE on its own."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from makepe import BOOT_DRIVER, RUNTIME_DRIVER, make_pe

AA64, IA32 = 0xAA64, 0x014C
OPTIONAL = 0x40 + 24  # the optional header of make_pe's files
SECTIONS = OPTIONAL + 240


def patched(data: bytes, at: int, form: str, *values: int) -> bytes:
    """A copy with numbers at an offset, in a struct format."""
    changed = bytearray(data)
    struct.pack_into("<" + form, changed, at, *values)
    return bytes(changed)


@dataclass(frozen=True)
class PeDamage:
    """A fault; `make` puts the program's code into a file that has it."""

    name: str
    rules: frozenset[str]
    make: Callable[[bytes], bytes]


def _changed(at: int, form: str, *values: int) -> Callable[[bytes], bytes]:
    return lambda code: patched(make_pe(text=code), at, form, *values)


def _cut(size: int) -> Callable[[bytes], bytes]:
    return lambda code: make_pe(text=code)[:size]


def _damage(name: str, rules: str, make: Callable[[bytes], bytes]) -> PeDamage:
    return PeDamage(name, frozenset(rules.split()), make)


DAMAGES = (
    _damage("for AArch64", "B103", lambda code: make_pe(AA64, text=code)),
    _damage("for x86 (32 bits)", "B103", lambda code: make_pe(IA32, text=code)),
    _damage("for an unknown machine", "B108", lambda code: make_pe(0x1234, text=code)),
    _damage("optional header of 32 bits", "B108", lambda code: make_pe(magic=0x10B, text=code)),
    _damage("boot-service driver", "B104", lambda code: make_pe(subsystem=BOOT_DRIVER, text=code)),
    _damage("runtime driver", "B104", lambda code: make_pe(subsystem=RUNTIME_DRIVER, text=code)),
    _damage("Windows program", "B104", lambda code: make_pe(subsystem=3, text=code)),
    _damage("relocations stripped", "B105", lambda code: make_pe(characteristics=0x23, text=code)),
    _damage("relocations outside", "B108", lambda code: make_pe(reloc_address=0x2FFF0, text=code)),
    _damage("relocations stripped, its address is not free", "B105", lambda code: patched(
        make_pe(characteristics=0x23, text=code), OPTIONAL + 24, "Q", 0xFEE00000)),
    _damage("relocation block of size 0", "B108", _changed(0x404, "I", 0)),
    _damage("relocation block that is too long", "B108", _changed(0x404, "I", 16)),
    _damage("relocation beyond the image", "B108", _changed(0x400, "I", 0x3000)),
    _damage("relocation of an unknown type", "B108", _changed(0x408, "H", 0xB000)),
    _damage("sections aligned to 0x1800", "B106 B109", _changed(OPTIONAL + 32, "I", 0x1800)),
    _damage("sections aligned to 32", "B109", _changed(OPTIONAL + 32, "I", 0x20)),
    _damage("section not aligned", "B109", lambda code: patched(
        make_pe(reloc_address=0x2100, text=code), SECTIONS + 52, "I", 0x2100)),
    _damage("image smaller than its sections", "B106 B108", _changed(OPTIONAL + 56, "I", 0x1000)),
    _damage("sections overlap", "B106", _changed(SECTIONS + 8, "I", 0x1800)),
    _damage("writable code", "B112", _changed(SECTIONS + 36, "I", 0xE0000020)),
    _damage("6 data directories", "B108", _changed(OPTIONAL + 108, "I", 6)),
    _damage("17 data directories", "B108", _changed(OPTIONAL + 108, "I", 17)),
    _damage("headers end in the section table", "B108",
            _changed(OPTIONAL + 60, "I", SECTIONS + 79)),
    _damage("section's data in the headers", "B108", _changed(SECTIONS + 40 + 20, "I", 0x80)),
    _damage("truncated", "B107", _cut(-1)),
    _damage("truncated after the headers", "B107", _cut(0x1C0)),
    _damage("truncated in the headers", "B108", _cut(0x100)),
    _damage("empty", "B108", lambda _code: b""),
    _damage("script", "B108", lambda _code: b"#!/bin/sh\n"),
    _damage("signature cut off", "B107",
            lambda code: make_pe(security=(0x600, 0x1000), text=code)),
)  # fmt: skip

"""Names of a guest kernel's addresses, from System.map, /proc/kallsyms or vmlinux."""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path

from efi_image.errors import InputError

_LINE = re.compile(r"^([0-9a-fA-F]{8,16}) ([a-zA-Z?]) (\S+)", re.MULTILINE)
_ELF = b"\x7fELF"
_FARTHEST = 1 << 20  # bytes from a symbol to an address that still belongs to it


class KernelSymbols:
    """A table of functions by address."""

    def __init__(self, symbols: list[tuple[int, str]]) -> None:
        symbols.sort()
        self._addresses = [address for address, _ in symbols]
        self._names = [name for _, name in symbols]

    def __call__(self, address: int) -> str:
        """`name+0x12`, or '' if no symbol is close below the address."""
        number = bisect_right(self._addresses, address) - 1
        if number < 0 or address - self._addresses[number] >= _FARTHEST:
            return ""
        offset = address - self._addresses[number]
        return self._names[number] + (f"+{offset:#x}" if offset else "")


def read_symbols(path: Path) -> KernelSymbols:
    """Read a symbol file; raises InputError if it has no symbols of functions."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from None
    found = _of_elf(path) if data.startswith(_ELF) else _of_text(data.decode("ascii", "replace"))
    if not found:
        raise InputError(
            "has no symbols of functions", where=str(path),
            hint="use System.map, /proc/kallsyms read by root, or vmlinux",
        )  # fmt: skip
    return KernelSymbols(found)


def _of_text(text: str) -> list[tuple[int, str]]:
    rows = ((int(address, 16), kind, name) for address, kind, name in _LINE.findall(text))
    return [(address, name) for address, kind, name in rows if kind in "tTwW" and address]


def _of_elf(path: Path) -> list[tuple[int, str]]:
    import lief  # noqa: PLC0415

    lief.logging.disable()
    binary = lief.ELF.parse(path)
    if binary is None:
        return []
    return [
        (symbol.value, str(symbol.name))
        for symbol in binary.symbols
        if symbol.is_function and symbol.value
    ]

"""Names on FAT: what it can hold, long-name records, and 8.3 aliases."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Sequence

from efi_image.errors import FatNameError

MAX_UNITS = 255  # UTF-16 units in a long name
UNITS_PER_RECORD = 13
MAX_SHORT = 12  # characters of an 8.3 name
ATTRIBUTE_LONG_NAME = 0x0F
LAST_RECORD = 0x40

# strings, for str.strip: what it leaves begins and ends with another character
_SHORT = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'()-@^_`{}~"
_FORBIDDEN = frozenset(':*?"<>|\\/\x7f' + "".join(map(chr, range(0x20))))
_ALLOWED = "".join(c for c in map(chr, range(0x80)) if c not in _FORBIDDEN)
_DEVICE = r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[1-9¹²³])\s*(\..*)?"
_BAD_ENDS = frozenset({"", ".", " "})
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", "COM", "LPT"})  # what such names begin with
RECORD = struct.Struct("<B10sBBB12sH4s")


def fault_of(name: str) -> str:
    """Why FAT cannot hold this name of a file or directory; '' if it can."""
    if not name:
        return "is empty"
    try:
        units = _units(name)
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if units > MAX_UNITS:
        return f"is longer than {MAX_UNITS} UTF-16 units"
    if name.strip(_ALLOWED):
        bad = next((c for c in name if c in _FORBIDDEN), "")
        if bad:
            return f"contains {bad!r}"
    if name[-1] in ". ":
        return "ends with a dot or a blank"
    if name[:3].upper() in _DEVICES and _is_device(name):
        return "is reserved for a device"
    return ""


def _is_device(name: str) -> bool:

    return re.fullmatch(_DEVICE, name, re.I) is not None


def _units(name: str) -> int:
    return len(name) if name.isascii() else len(name.encode("utf-16-le")) // 2


def parse_path(text: str) -> tuple[str, ...]:
    """The names of a path with `\\` or `/` between them; raises FatNameError."""
    names = text.replace("\\", "/").strip("/").split("/")
    return tuple(check_name(name, text) for name in names)


def check_names(names: Sequence[str], folder: str) -> None:
    """Check the names of what is in a directory of this machine; raises FatNameError.

    All are looked at together, as names that give no reason for a second look are the rule.
    """
    letters = "".join(names)
    is_plain = (
        letters.isascii()
        and not letters.strip(_ALLOWED)
        and max(map(len, names), default=0) <= MAX_UNITS
        and _BAD_ENDS.isdisjoint([name[-1:] for name in names])
        and _DEVICES.isdisjoint([name[:3].upper() for name in names])
    )
    if not is_plain:
        for name in names:
            check_name(name, os.path.join(folder, name))  # noqa: PTH118


def check_name(name: str, where: str) -> str:
    """The name of a file or directory that stands at `where`; raises FatNameError."""
    fault = fault_of(name)
    if fault:
        raise FatNameError(f"FAT cannot hold the name '{name}': it {fault}", where=where)
    return name


def show_path(path: Iterable[str]) -> str:
    """A path as UEFI writes it: `\\EFI\\BOOT`."""
    return "\\" + "\\".join(path)


def fold(name: str) -> str:
    """Equal for names that some system takes for the same."""
    return name.lower() if name.isascii() else name.upper().casefold()


def _exact(name: str) -> str | None:
    """`BASE    EXT` if the name, its case aside, is an 8.3 name."""
    if len(name) > MAX_SHORT or not name.isascii():
        return None
    base, dot, extension = name.upper().partition(".")
    if base.strip(_SHORT) or extension.strip(_SHORT) or not 0 < len(base) <= 8:
        return None
    if dot and not 0 < len(extension) <= 3:
        return None
    return base.ljust(8) + extension.ljust(3)


def _padded(name: str) -> str:
    """The name as an 8.3 name is stored, if it is one."""
    base, _, extension = name.partition(".")
    return base.ljust(8) + extension.ljust(3)


def _basis(name: str) -> tuple[str, str]:
    """The characters of a long name that its alias is made from: base and extension."""
    stripped = name.lstrip(". ").replace(" ", "")
    base, dot, extension = stripped.rpartition(".")
    if not dot:
        base, extension = stripped, ""
    return _shortened(base.replace(".", ""))[:8] or "_", _shortened(extension)[:3]


def _shortened(text: str) -> str:
    """In upper case, with what no 8.3 name has replaced."""
    upper = text.upper()
    return "".join(c if c in _SHORT else "_" for c in upper) if upper.strip(_SHORT) else upper


class _Tails:
    """Hands out `BASE~1.EXT`, `BASE~2.EXT` … that nobody uses, without searching twice."""

    def __init__(self, used: set[str]) -> None:
        self._used = used
        self._next: dict[tuple[str, str, int], int] = {}

    def claim(self, base: str, extension: str) -> str:
        for digits in range(1, 7):
            prefix = base[: 7 - digits]
            key = (prefix, extension, digits)
            for number in range(self._next.get(key, 10 ** (digits - 1)), 10**digits):
                short = f"{f'{prefix}~{number}':8}{extension:3}"
                if short not in self._used:
                    self._next[key] = number + 1
                    self._used.add(short)
                    return short
            self._next[key] = 10**digits
        raise AssertionError("a directory has fewer names than there are aliases")


def aliases(names: Iterable[str]) -> dict[str, bytes]:
    """Name → its 11 bytes of 8.3 name, for all names of one directory.

    The names differ also when case is ignored. Names that are 8.3 names themselves keep
    them; the others get numbered tails in the order given.
    """
    listed = list(names)
    return dict(zip(listed, short_names(listed)[0], strict=True))


def short_names(names: Sequence[str]) -> tuple[list[bytes], bytes]:
    """The 8.3 names of `aliases`, in order, and how many entries hold each long name."""
    exact = [_exact(name) for name in names]
    tails = _Tails({short for short in exact if short})
    shorts, counts = [], []
    for name, short in zip(names, exact, strict=True):
        shorts.append((short or tails.claim(*_basis(name))).encode("ascii"))
        counts.append(0 if short and name == name.upper() else -(-_units(name) // UNITS_PER_RECORD))
    return shorts, bytes(counts)


def display(short: bytes) -> str:
    """An 8.3 name as it is written: `BASE.EXT`."""
    base, extension = short[:8].decode("ascii").rstrip(), short[8:].decode("ascii").rstrip()
    return f"{base}.{extension}" if extension else base


def record_count(name: str, short: bytes) -> int:
    """How many directory entries hold the long name (0 if the 8.3 name says it all)."""
    if len(name) <= MAX_SHORT and name.isascii() and _padded(name).encode("ascii") == short:
        return 0
    return -(-_units(name) // UNITS_PER_RECORD)


def checksum(short: bytes) -> int:
    """The checksum of an 8.3 name that ties long-name records to it."""
    total = 0
    for byte in short:
        total = ((total >> 1) | (total << 7 & 0x80)) + byte & 0xFF
    return total


def long_records(name: str, short: bytes) -> bytes:
    """The directory entries of a long name, last part first; empty if none are needed."""
    count = record_count(name, short)
    if not count:
        return b""
    text = name.encode("utf-16-le")
    size = count * UNITS_PER_RECORD * 2
    if len(text) < size:
        text = (text + b"\0\0").ljust(size, b"\xff")
    tie = checksum(short)
    records = []
    for number in range(count, 0, -1):
        part = text[(number - 1) * 26 : number * 26]
        order = number | (LAST_RECORD if number == count else 0)
        records.append(
            RECORD.pack(order, part[:10], ATTRIBUTE_LONG_NAME, 0, tie, part[10:22], 0, part[22:26])
        )
    return b"".join(records)

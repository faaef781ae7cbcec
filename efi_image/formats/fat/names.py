"""Names on FAT: which are allowed, and 8.3 aliases.

Microsoft, FAT: General Overview of On-Disk Format 1.03, "Name Limits and Character Sets" and
"Naming Conventions and Long Names"; names of devices are those that Windows reserves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from efi_image.errors import FatNameError
from efi_image.formats.fat.long_names import utf16_units

MAX_UNITS = 255  # UTF-16 units in a long name
MAX_SHORT = 12  # characters of an 8.3 name

# strings, for str.strip: what it leaves begins and ends with another character
_SHORT = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'()-@^_`{}~"
_FORBIDDEN = frozenset(':*?"<>|\\/\x7f' + "".join(map(chr, range(0x20))))
_ALLOWED = "".join(c for c in map(chr, range(0x80)) if c not in _FORBIDDEN)
_DEVICE = r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[1-9¹²³])\s*(\..*)?"
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", "COM", "LPT"})  # what such names begin with


def fault_of(name: str) -> str:
    """Why FAT does not allow this name of a file or directory; '' if it does."""
    if not name:
        return "is empty"
    try:
        units = utf16_units(name)
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
    if name[:3].upper() in _DEVICES and re.fullmatch(_DEVICE, name, re.I):
        return "is reserved for a device"
    return ""


def parse_path(text: str) -> tuple[str, ...]:
    """The names of a path with `\\` or `/` between them; raises FatNameError."""
    names = text.replace("\\", "/").strip("/").split("/")
    return tuple(check_name(name, text) for name in names)


def check_name(name: str, where: str) -> str:
    """The name of the file or directory at `where`; raises FatNameError if it is not allowed."""
    fault = fault_of(name)
    if fault:
        raise FatNameError(f"FAT does not allow the name '{name}': it {fault}", where=where)
    return name


class _Folding(dict[int, int]):
    """Each character (a number) → the one that represents both of its cases."""

    def __missing__(self, code: int) -> int:
        upper = _upcase(chr(code))
        self[code] = ord(upper.lower() if upper.isascii() else upper)
        return self[code]


def _upcase(character: str) -> str:
    """The character's upper case, if that is one UTF-16 unit with this one as its lower case.

    As in the table of Windows: no other character becomes two, or an ASCII letter.
    """
    if character > "\uffff":
        return character
    upper = character.upper()
    if len(upper) > 1:
        upper = character.title()  # for some, Unicode gives two upper case letters as well
    if len(upper) > 1 or upper > "\uffff":
        return character
    return upper if upper.lower() == character or character == _FINAL_SIGMA else character


_FINAL_SIGMA = "ς"  # a second lower case of Σ
_FOLDING = _Folding()


def fold(name: str) -> str:
    """A key that is equal for names that FAT considers equal: case is folded by character."""
    return name.lower() if name.isascii() else name.translate(_FOLDING)


def exact_short(name: str) -> str | None:
    """`BASE    EXT` (11 characters) if the name, its case aside, is an 8.3 name."""
    if len(name) > MAX_SHORT or not name.isascii():
        return None
    base, dot, extension = name.upper().partition(".")
    if base.strip(_SHORT) or extension.strip(_SHORT) or not 0 < len(base) <= 8:
        return None
    if dot and not 0 < len(extension) <= 3:
        return None
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


class ShortNames:
    """Hands out the 8.3 names (11 characters) of a directory; `used` are those that it has."""

    def __init__(self, used: Iterable[str] = ()) -> None:
        self._used = set(used)
        self._next: dict[tuple[str, str, int], int] = {}

    def claim(self, name: str) -> bytes:
        """The name itself if it is a free 8.3 name, else `BASE~1.EXT`, `BASE~2.EXT` …"""
        short = exact_short(name)
        if short is None or short in self._used:
            short = self._numbered(*_basis(name))
        self._used.add(short)
        return short.encode("ascii")

    def release(self, short: bytes) -> None:
        """Free that name."""
        self._used.discard(short.decode("latin-1"))
        self._next.clear()

    def _numbered(self, base: str, extension: str) -> str:
        """The first unused one, without searching twice."""
        for digits in range(1, 7):
            prefix = base[: 7 - digits]
            key = (prefix, extension, digits)
            for number in range(self._next.get(key, 10 ** (digits - 1)), 10**digits):
                short = f"{f'{prefix}~{number}':8}{extension:3}"
                if short not in self._used:
                    self._next[key] = number + 1
                    return short
            self._next[key] = 10**digits
        raise AssertionError("a directory has fewer names than there are aliases")


def short_names(names: Sequence[str]) -> list[bytes]:
    """The 8.3 names (11 bytes) of all names of one directory, in order; no two are the same.

    Names that are 8.3 names themselves, whatever their case, keep them; the others get numbered
    tails in the order given.
    """
    exact = [exact_short(name) for name in names]
    shorts = ShortNames(short for short in exact if short)
    return [
        short.encode("ascii") if short else shorts.claim(name)
        for name, short in zip(names, exact, strict=True)
    ]

"""Rock Ridge: names, modes and links in a directory record's system-use area.

System Use Sharing Protocol 1.12 (entries and continuation areas), Rock Ridge Interchange
Protocol 1.12 (NM, PX, SL, CL, RE).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.errors import InputError
from efi_image.formats.iso9660.structures import SECTOR
from efi_image.io.medium import Medium

MAX_CONTINUATIONS = 32
MAX_NAME = 1024
CONTINUE_FLAG = 0x01
CURRENT, PARENT, ROOT = 0x02, 0x04, 0x08


@dataclass(frozen=True, slots=True)
class Extras:
    """What Rock Ridge adds to a directory record; '' or None if it does not say.

    A directory too deep for ISO 9660 is elsewhere, with a record that `is_moved`; where it
    belongs, a record has the block that it was `relocated` to.
    """

    name: str = ""
    mode: str = ""
    target: str = ""
    relocated: int | None = None
    is_moved: bool = False


def _fields(medium: Medium, area: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(signature, data) of each entry, continuation areas included."""
    for _ in range(MAX_CONTINUATIONS):
        following: bytes | None = None
        position = 0
        while position + 4 <= len(area):
            signature, length = area[position : position + 2], area[position + 2]
            if length < 4 or position + length > len(area) or signature == b"ST":
                break
            data = area[position + 4 : position + length]
            if signature == b"CE" and len(data) >= 24:
                block, offset, size = (
                    int.from_bytes(data[i : i + 4], "little") for i in (0, 8, 16)
                )
                if size <= SECTOR and offset < SECTOR:
                    following = medium.peek(block * SECTOR + offset, size)
            else:
                yield signature, data
            position += length
        if not following:
            return
        area = following
    raise InputError("has a chain of system-use areas that does not end", where=medium.name)


def _link(data: bytes) -> tuple[str, bool]:
    """The components of an `SL` entry, and whether the last continues in the next entry."""
    names: list[str] = []
    position, continues = 1, False
    prefix = ""
    while position + 2 <= len(data):
        flags, length = data[position], data[position + 1]
        part = data[position + 2 : position + 2 + length].decode("utf-8", "replace")
        if flags & ROOT:
            prefix = "/"
        elif flags & CURRENT:
            part = "."
        elif flags & PARENT:
            part = ".."
        if not flags & ROOT:
            if continues and names:
                names[-1] += part
            else:
                names.append(part)
        continues = bool(flags & CONTINUE_FLAG)
        position += 2 + length
    return prefix + "/".join(names), continues


def extras(medium: Medium, area: bytes) -> Extras:
    """The contents of a system-use area; raises InputError if it does not end."""
    name, target, mode, relocated, is_moved = b"", "", "", None, False
    target_continues = False
    for signature, data in _fields(medium, area):
        if signature == b"NM" and data and not data[0] & (CURRENT | PARENT):
            name += data[1:]
        elif signature == b"PX" and len(data) >= 4:
            mode = stat.filemode(int.from_bytes(data[:4], "little"))
        elif signature == b"SL" and len(data) >= 3:
            part, continues = _link(data)
            target += part if target_continues or not target else "/" + part
            target_continues = continues
        elif signature == b"CL" and len(data) >= 4:
            relocated = int.from_bytes(data[:4], "little")
        elif signature == b"RE":
            is_moved = True
        if len(name) > MAX_NAME or len(target) > 4 * MAX_NAME:
            raise InputError("has a name that does not end", where=medium.name)
    return Extras(name.decode("utf-8", "replace"), mode, target, relocated, is_moved)

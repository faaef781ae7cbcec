"""EFI_LOAD_OPTION, the value of a Boot#### variable, and the device path in it.

Source: UEFI Specification 2.10, 3.1.3 (load options); 10.3.1 (nodes), 10.3.5.1 (hard drive),
10.3.5.4 (file path).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

ACTIVE = 0x00000001
CATEGORY = 0x00001F00  # 0: boot options; others are applications of the firmware
_HEAD = struct.Struct("<IH")  # attributes, size of the device path
_NODE = struct.Struct("<BBH")
_MEDIA, _HARD_DRIVE, _FILE_PATH = 4, 1, 4
_END = 0x7F
_DRIVE = struct.Struct("<IQQ16sBB")
_GPT, _BY_GUID = 2, 2  # the table's format, the kind of signature


@dataclass(frozen=True, slots=True)
class GptPartition:
    """The partition that a hard drive node names; its start and size in its disk's sectors."""

    number: int
    start: int
    sectors: int
    guid: UUID


@dataclass(frozen=True, slots=True)
class LoadOption:
    """A boot option: what to start, and with which data."""

    description: str
    device_path: bytes
    attributes: int = ACTIVE
    data: bytes = b""

    @classmethod
    def unpack(cls, value: bytes) -> LoadOption | None:
        """The option in a variable's value; None if it is malformed."""
        if len(value) < _HEAD.size:
            return None
        attributes, path_size = _HEAD.unpack_from(value)
        end = next((n for n in range(_HEAD.size, len(value) - 1, 2) if value[n : n + 2] == b"\0\0"),
                   None)  # fmt: skip
        if end is None or end + 2 + path_size > len(value):
            return None
        description = value[_HEAD.size : end].decode("utf-16-le", "replace")
        rest = value[end + 2 :]
        return cls(description, rest[:path_size], attributes, rest[path_size:])

    def pack(self) -> bytes:
        """The value of the variable."""
        description = (self.description + "\0").encode("utf-16-le")
        head = _HEAD.pack(self.attributes, len(self.device_path))
        return head + description + self.device_path + self.data

    @property
    def is_bootable(self) -> bool:
        """Whether the boot manager starts it by itself."""
        return bool(self.attributes & ACTIVE) and not self.attributes & CATEGORY

    @property
    def partition(self) -> GptPartition | None:
        """The GPT partition that its file is on, if its path names one."""
        for kind, subtype, data in _nodes(self.device_path):
            if (kind, subtype) == (_MEDIA, _HARD_DRIVE) and len(data) == _DRIVE.size:
                number, start, sectors, guid, table, signature = _DRIVE.unpack(data)
                if (table, signature) == (_GPT, _BY_GUID):
                    return GptPartition(number, start, sectors, UUID(bytes_le=guid))
        return None

    @property
    def file(self) -> str:
        """The path of its file, with backslashes; '' if its path names none."""
        parts = [
            data.decode("utf-16-le", "replace").rstrip("\0")
            for kind, subtype, data in _nodes(self.device_path)
            if (kind, subtype) == (_MEDIA, _FILE_PATH)
        ]
        return "\\".join(parts).replace("\\\\", "\\")


def _nodes(path: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, subtype, data) of the nodes of the first device path, up to a malformed one."""
    position = 0
    while position + _NODE.size <= len(path):
        kind, subtype, size = _NODE.unpack_from(path, position)
        if kind == _END or size < _NODE.size or position + size > len(path):
            return
        yield kind, subtype, path[position + _NODE.size : position + size]
        position += size


def _node(kind: int, subtype: int, data: bytes) -> bytes:
    return _NODE.pack(kind, subtype, _NODE.size + len(data)) + data


def file_device_path(partition: GptPartition, file: str) -> bytes:
    """The path of a file on a partition, which firmware completes with the disk that has it."""
    drive = _DRIVE.pack(
        partition.number, partition.start, partition.sectors, partition.guid.bytes_le,
        _GPT, _BY_GUID,
    )  # fmt: skip
    name = (file + "\0").encode("utf-16-le")
    end = _node(_END, 0xFF, b"")
    return _node(_MEDIA, _HARD_DRIVE, drive) + _node(_MEDIA, _FILE_PATH, name) + end

"""GUIDs as UEFI stores them: the first three fields little-endian.

The library's uuid takes 4 ms to import, with platform and more (docs/adr/0009).
"""

from __future__ import annotations

from efi_image.digest import blake2b
from efi_image.record import Record


def _swapped(data: bytes) -> bytes:
    return data[3::-1] + data[5:3:-1] + data[7:5:-1] + data[8:]


class Guid(Record):
    """A GUID by the 16 bytes that a partition table has of it."""

    bytes_le: bytes

    @classmethod
    def parse(cls, text: str) -> Guid:
        """The GUID of a text such as `c12a7328-f81f-11d2-ba4b-00a0c93ec93b`."""
        return cls(_swapped(bytes.fromhex(text.replace("-", ""))))

    @classmethod
    def derived(cls, seed: bytes, what: str) -> Guid:
        """The same for the same seed and text: a UUID of version 8 (RFC 9562)."""
        data = bytearray(blake2b(seed + what.encode(), digest_size=16).digest())
        data[6] = 0x80 | data[6] & 0x0F
        data[8] = 0x80 | data[8] & 0x3F
        return cls(_swapped(bytes(data)))

    def __str__(self) -> str:
        digits = _swapped(self.bytes_le).hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


NO_GUID = Guid(bytes(16))

"""Secure Boot's keys: EFI signature lists, certificates and lists of hashes.

Source: UEFI Specification 2.10, 32.4.1 (signature database); 8.2.1
(EFI_VARIABLE_AUTHENTICATION_2, which can precede the lists).
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from efi_image.errors import InputError

X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
# lists of files' hashes: by the type, how hashlib calls the algorithm
HASHES = {
    UUID("826ca512-cf10-4ac9-b187-be01496631bd"): "sha1",
    UUID("c1c41626-504c-4092-aca9-41f936934328"): "sha256",
    UUID("ff3e5307-9fd0-48c9-85f1-8ad56c701e01"): "sha384",
    UUID("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a"): "sha512",
}
HASH_SIZES = {20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}  # in bytes
X509_SHA256 = UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")
OWNER_SIZE = 16
LIST_HEADER = struct.Struct("<16sIII")
MAX_SIZE = 4 << 20
TIME_SIZE, CERT_TYPE = 16, 0x0EF1
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.S)


@dataclass(frozen=True, slots=True)
class KeyList:
    """The content of db or dbx: certificates (DER), hashes of programs, SHA-256 of certificates."""

    certificates: frozenset[bytes] = frozenset()
    hashes: frozenset[bytes] = frozenset()
    certificate_hashes: frozenset[bytes] = frozenset()

    def __or__(self, other: KeyList) -> KeyList:
        return KeyList(
            self.certificates | other.certificates,
            self.hashes | other.hashes,
            self.certificate_hashes | other.certificate_hashes,
        )


def read_keys(paths: Iterable[Path]) -> KeyList:
    """The keys in all files; raises InputError if one cannot be read, or has no keys."""
    keys = KeyList()
    for path in paths:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_SIZE + 1)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
        if len(data) > MAX_SIZE:
            raise InputError(f"is larger than {MAX_SIZE} bytes", where=str(path))
        keys |= parse_keys(data, str(path))
    return keys


def parse_keys(data: bytes, name: str) -> KeyList:
    """The keys in signature lists, certificates (PEM, DER) or a list of hashes.

    Hashes are SHA-256 in hexadecimal, one a line, with comments after `#`. Raises InputError
    if `data` is none of these; `name` is for the message.
    """
    pem = _PEM.findall(data)
    if pem:
        try:
            return KeyList(frozenset(base64.b64decode(b"".join(p.split())) for p in pem))
        except binascii.Error:
            raise InputError("has a certificate that is not base64", where=name) from None
    if re.fullmatch(rb"(\s*[0-9a-fA-F]{64}\s*(#[^\n]*)?)+", data[:MAX_SIZE]):
        return KeyList(hashes=frozenset(bytes.fromhex(h.decode()) for h in _hashes(data)))
    if data[:2] == b"\x30\x82":
        return KeyList(frozenset({data}))
    return _lists(data, name)


def _hashes(data: bytes) -> list[bytes]:
    lines = (line.split(b"#")[0].strip() for line in data.splitlines())
    return [line for line in lines if line]


def _lists(data: bytes, name: str) -> KeyList:
    position = _authentication_size(data)
    certificates, hashes, certificate_hashes = set(), set(), set()
    bad = InputError(
        "is not an EFI signature list, a certificate or a list of SHA-256 hashes", where=name
    )
    if not data:
        raise bad
    while position < len(data):
        if len(data) - position < LIST_HEADER.size:
            raise bad
        kind, size, header_size, entry_size = LIST_HEADER.unpack_from(data, position)
        start = position + LIST_HEADER.size + header_size
        end = position + size
        if not start <= end <= len(data) or entry_size <= OWNER_SIZE or size < LIST_HEADER.size:
            raise bad
        kind_id = UUID(bytes_le=kind)
        for offset in range(start, end - entry_size + 1, entry_size):
            entry = data[offset + OWNER_SIZE : offset + entry_size]
            if kind_id == X509:
                certificates.add(entry)
            elif HASH_SIZES.get(len(entry)) == HASHES.get(kind_id, ""):
                hashes.add(entry)
            elif kind_id == X509_SHA256:
                certificate_hashes.add(entry[:32])
        position = end
    return KeyList(frozenset(certificates), frozenset(hashes), frozenset(certificate_hashes))


def _authentication_size(data: bytes) -> int:
    """The size in bytes of an EFI_VARIABLE_AUTHENTICATION_2 before the lists."""
    if len(data) < 40:
        return 0
    length, _, kind = struct.unpack_from("<IHH", data, TIME_SIZE)
    return TIME_SIZE + length if kind == CERT_TYPE and length < len(data) - TIME_SIZE else 0

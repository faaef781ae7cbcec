"""The digests and signatures of a PE file.

Sources: Microsoft's "Windows Authenticode Portable Executable Signature Format";
"PE Format", "The Attribute Certificate Table".
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from efi_image.formats.pe import certificates, pkcs7
from efi_image.formats.pe.headers import PeHeader, ReadAt

PKCS_SIGNED_DATA = 0x0002
MAX_SIGNATURES = 16
MAX_CERTIFICATE = 1 << 20  # bytes of one signature
MAX_TABLE = 4 << 20  # bytes of a certificate table
CHUNK = 1 << 20
ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")  # those that EDK2 knows
_WIN_CERTIFICATE = struct.Struct("<IHH")


class SignedContent:
    """The digests of a file's signed content, and its certificate table.

    Firmware does not hash a file front to back: it hashes the headers without the checksum and
    the certificate table's directory, then the sections in the order of their place in the file,
    then the rest without the certificate table. It takes for the rest what lies behind as many
    bytes as it has hashed so far, so with a gap between sections some bytes count twice and some
    never (EDK2's DxeImageVerificationLib, HashPeImage).
    """

    def __init__(
        self,
        header: PeHeader,
        read_at: ReadAt,
        size: int,
        algorithms: Collection[str] = ("sha256",),
    ) -> None:
        """Reads a file of `size` bytes with `read_at`, which raises InputError.

        Hashes an unsigned file by these algorithms, a signed one by all.
        """
        start, length = header.certificates
        self.certificates = read_at(start, min(length, MAX_TABLE)) if length else b""
        names = ALGORITHMS if length else algorithms
        digests = {name: hashlib.new(name) for name in names}
        for first, end in self.ranges(header, size):
            for offset in range(first, end, CHUNK):
                piece = read_at(offset, min(CHUNK, end - offset))
                for digest in digests.values():
                    digest.update(piece)
        self.digests = {name: digest.hexdigest() for name, digest in digests.items()}

    @staticmethod
    def ranges(header: PeHeader, size: int) -> Iterator[tuple[int, int]]:
        """The ranges of the file (start and end) in the order in which they are hashed."""
        yield 0, header.checksum_at
        after = header.checksum_at + 4
        if header.security_at is not None:
            yield after, header.security_at
            after = header.security_at + 8
        yield after, header.size_of_headers
        hashed = header.size_of_headers
        for section in sorted(header.sections, key=lambda section: section.offset):
            if section.file_size:
                yield section.offset, section.offset + section.file_size
                hashed += section.file_size
        yield hashed, size - header.certificates[1]


@dataclass(frozen=True, slots=True)
class SignatureFacts:
    """A signature: the signer, and whether it is this file's; `fault` if it cannot be read."""

    signer: str
    issuer: str
    algorithm: str
    digest: str
    matches: bool
    intact: bool
    fault: str = ""


def split_table(table: bytes) -> list[tuple[int, bytes]]:
    """(type, content) of each WIN_CERTIFICATE in a certificate table, up to the first bad one."""
    found: list[tuple[int, bytes]] = []
    position = 0
    while position + _WIN_CERTIFICATE.size <= len(table) and len(found) < MAX_SIGNATURES:
        length, _, kind = _WIN_CERTIFICATE.unpack_from(table, position)
        if length < _WIN_CERTIFICATE.size or position + length > len(table):
            break
        found.append((kind, table[position + _WIN_CERTIFICATE.size : position + length]))
        position += -(-length // 8) * 8
    return found


def has_rest(table: bytes) -> bool:
    """Whether a certificate table has bytes behind its last signature; EDK2 refuses the file."""
    size = sum(-(-(_WIN_CERTIFICATE.size + len(each)) // 8) * 8 for _, each in split_table(table))
    return size != len(table)


def read_signature(content: bytes) -> pkcs7.SignedData | None:
    """A PKCS #7 SignedData; None if it cannot be read."""
    try:
        return pkcs7.parse(content) if len(content) <= MAX_CERTIFICATE else None
    except (ValueError, IndexError):
        return None


def describe_signatures(table: bytes, digests: dict[str, str]) -> tuple[SignatureFacts, ...]:
    """The signatures in a certificate table; `digests` are the file's own, by algorithm."""
    found = tuple(_describe(kind, content, digests) for kind, content in split_table(table))
    return found if found or not table else (_faulty("the certificate table is malformed"),)


def _describe(kind: int, content: bytes, digests: dict[str, str]) -> SignatureFacts:
    if kind != PKCS_SIGNED_DATA:
        return _faulty(f"has type 0x{kind:04x}, which is not PKCS #7")
    if len(content) > MAX_CERTIFICATE:
        return _faulty(f"is too large: {len(content)} bytes")
    signed = read_signature(content)
    if signed is None:
        return _faulty("cannot be parsed")
    signer = certificates.signer_of(signed)
    return SignatureFacts(
        signer=certificates.subject(signer) if signer else "",
        issuer=certificates.issuer(signer) if signer else "",
        algorithm=signed.algorithm,
        digest=signed.digest.hex(),
        matches=digests.get(signed.algorithm) == signed.digest.hex(),
        intact=signer is not None and certificates.verifies(signed, signer),
    )


def _faulty(fault: str) -> SignatureFacts:
    return SignatureFacts("", "", "", "", False, False, fault)

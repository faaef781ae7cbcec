"""The signatures of a PE file; LIEF is loaded only to read one.

Sources: Microsoft's "Windows Authenticode Portable Executable Signature Format";
"PE Format", "The Attribute Certificate Table".
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from efi_image.formats.pe.headers import PeHeader, ReadAt

PKCS_SIGNED_DATA = 0x0002
MAX_SIGNATURES = 16
MAX_CERTIFICATE = 1 << 20  # bytes of one signature
MAX_TABLE = 4 << 20  # bytes of a certificate table
CHUNK = 1 << 20
_ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
_DER_SEQUENCE = b"\x30"
_WIN_CERTIFICATE = struct.Struct("<IHH")


class SignedContent:
    """The digests of a file's signed content, and its certificate table.

    Firmware does not hash a file front to back: it hashes the headers without the checksum and
    the certificate table's directory, then the sections in the order of their place in the file,
    then the rest without the certificate table. It takes for the rest what lies behind as many
    bytes as it has hashed so far, so with a gap between sections some bytes count twice and some
    never (EDK2's DxeImageVerificationLib, HashPeImage).
    """

    def __init__(self, header: PeHeader, read_at: ReadAt, size: int) -> None:
        """Reads a file of `size` bytes with `read_at`, which raises InputError."""
        start, length = header.certificates
        self.certificates = read_at(start, min(length, MAX_TABLE)) if length else b""
        # an unsigned file is known by its SHA-256 alone; a signature names its algorithm
        names = _ALGORITHMS if length else ("sha256",)
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


def describe_signatures(table: bytes, digests: dict[str, str]) -> tuple[SignatureFacts, ...]:
    """The signatures in a certificate table; `digests` are the file's own, by algorithm."""
    found = tuple(_describe(kind, content, digests) for kind, content in split_table(table))
    return found if found or not table else (_faulty("the certificate table is malformed"),)


def _describe(kind: int, content: bytes, digests: dict[str, str]) -> SignatureFacts:
    if kind != PKCS_SIGNED_DATA:
        return _faulty(f"has type 0x{kind:04x}, which is not PKCS #7")
    if len(content) > MAX_CERTIFICATE:
        return _faulty(f"is too large: {len(content)} bytes")
    signature = parse_signature(content)
    if signature is None:
        return _faulty("cannot be parsed")
    algorithm, digest = digest_of(signature)
    certificate = signature.signers[0].cert
    return SignatureFacts(
        signer=name_text(certificate.subject if certificate else ""),
        issuer=name_text(signature.signers[0].issuer),
        algorithm=algorithm,
        digest=digest,
        matches=digests.get(algorithm) == digest,
        intact=is_intact(signature),
    )


def _faulty(fault: str) -> SignatureFacts:
    return SignatureFacts("", "", "", "", False, False, fault)


# ---- by LIEF


def name_text(name: str | bytes) -> str:
    """LIEF's name of a certificate's subject or issuer, which is bytes if it is not UTF-8."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def parse_signatures(table: bytes) -> tuple[list[Any], int]:
    """LIEF's signatures of all certificates in a table, and how many more LIEF cannot read.

    LIEF does not read, for example, those of pesign 0.112.
    """
    contents = [
        content
        for kind, content in split_table(table)
        if kind == PKCS_SIGNED_DATA
        and len(content) <= MAX_CERTIFICATE
        and content.startswith(_DER_SEQUENCE)
    ]
    parsed = [found for found in map(parse_signature, contents) if found is not None]
    return parsed, len(contents) - len(parsed)


def parse_signature(content: bytes) -> Any | None:
    """LIEF's signature of a PKCS #7 SignedData with a signer; None if it cannot be read."""
    import lief  # noqa: PLC0415

    lief.logging.disable()
    signature = lief.PE.Signature.parse(list(content))
    return signature if isinstance(signature, lief.PE.Signature) and signature.signers else None


def digest_of(signature: Any) -> tuple[str, str]:
    """The algorithm and the digest (hexadecimal) of the content that is signed."""
    algorithm = str(signature.digest_algorithm).rpartition(".")[2].replace("_", "").lower()
    return algorithm, bytes(signature.content_info.digest).hex()


def is_intact(signature: Any) -> bool:
    """Whether the signature itself verifies; like firmware, it ignores the dates."""
    import lief  # noqa: PLC0415

    verdict = signature.check(lief.PE.Signature.VERIFICATION_CHECKS.SKIP_CERT_TIME)
    return bool(verdict == lief.PE.Signature.VERIFICATION_FLAGS.OK)

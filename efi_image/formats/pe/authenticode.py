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

PKCS_SIGNED_DATA = 0x0002
MAX_SIGNATURES = 16
MAX_CERTIFICATE = 1 << 20  # bytes of one signature
MAX_TABLE = 4 << 20  # bytes of a certificate table
_ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
_WIN_CERTIFICATE = struct.Struct("<IHH")


class SignedContent:
    """The digests of a file's signed content, and its certificate table, from one reading.

    Everything is signed but the checksum, the certificate table's data directory
    (`security_at`, None if there is none) and the table (`certificates`, offset and size).
    """

    def __init__(
        self, checksum_at: int, security_at: int | None, certificates: tuple[int, int]
    ) -> None:
        start, size = certificates
        left_out = [(checksum_at, checksum_at + 4), (start, start + size)]
        if security_at is not None:
            left_out.append((security_at, security_at + 8))
        self._left_out = sorted(left_out)
        self._table = start, start + min(size, MAX_TABLE)
        # an unsigned file is known by its SHA-256 alone; a signature names its algorithm
        names = _ALGORITHMS if size else ("sha256",)
        self._digests = {name: hashlib.new(name) for name in names}
        self.size = 0  # bytes read so far
        self.certificates = b""  # the table, as far as it was read

    def update(self, piece: bytes) -> None:
        """Take the next bytes of the file."""
        for signed in self._signed(piece):
            for digest in self._digests.values():
                digest.update(signed)
        start, end = (max(0, at - self.size) for at in self._table)
        self.certificates += piece[start:end]
        self.size += len(piece)

    def _signed(self, piece: bytes) -> Iterator[bytes]:
        done, end = 0, len(piece)
        for hole in self._left_out:
            start, stop = (min(max(at - self.size, done), end) for at in hole)
            yield piece[done:start]
            done = stop
        yield piece[done:]

    def hexdigests(self, *, padded: bool = False) -> dict[str, str]:
        """The digests by algorithm, in hexadecimal.

        Signing tools pad a file to a multiple of 8 bytes first (`padded`); UEFI does not pad.
        """
        padding = bytes(-self.size % 8) if padded else b""
        copies = {name: digest.copy() for name, digest in self._digests.items()}
        for copy in copies.values():
            copy.update(padding)
        return {name: copy.hexdigest() for name, copy in copies.items()}


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


def parse_signatures(table: bytes) -> list[Any]:
    """LIEF's signatures of all certificates in a table that can be read."""
    parsed = [
        parse_signature(content)
        for kind, content in split_table(table)
        if kind == PKCS_SIGNED_DATA and len(content) <= MAX_CERTIFICATE
    ]
    return [signature for signature in parsed if signature is not None]


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

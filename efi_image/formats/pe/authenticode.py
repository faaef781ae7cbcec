"""The signatures of a PE file. LIEF is imported only when there is one."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

PKCS_SIGNED_DATA = 0x0002
MAX_SIGNATURES = 16
MAX_CERTIFICATE = 1 << 20  # bytes of one signature
_HEADER = struct.Struct("<IHH")


@dataclass(frozen=True)
class SignatureFacts:
    """A signature: who made it, and whether it is this file's; `fault` if it cannot be read."""

    signer: str
    issuer: str
    algorithm: str
    digest: str
    matches: bool
    intact: bool
    fault: str = ""


def blobs(table: bytes) -> list[tuple[int, bytes]]:
    """(type, content) of each WIN_CERTIFICATE in a certificate table, as far as it makes sense."""
    found: list[tuple[int, bytes]] = []
    position = 0
    while position + _HEADER.size <= len(table) and len(found) < MAX_SIGNATURES:
        length, _, kind = _HEADER.unpack_from(table, position)
        if length < _HEADER.size or position + length > len(table):
            break
        found.append((kind, table[position + _HEADER.size : position + length]))
        position += -(-length // 8) * 8
    return found


def signatures(table: bytes, digests: dict[str, str]) -> tuple[SignatureFacts, ...]:
    """What a certificate table holds; `digests` are the file's own, by algorithm."""
    found = []
    for kind, blob in blobs(table):
        if kind != PKCS_SIGNED_DATA:
            found.append(_faulty(f"has type 0x{kind:04x}, which is not PKCS #7"))
        elif len(blob) > MAX_CERTIFICATE:
            found.append(_faulty(f"has {len(blob)} bytes"))
        else:
            found.append(_read(blob, digests))
    if table and not found:
        found.append(_faulty("the certificate table is malformed"))
    return tuple(found)


def _faulty(fault: str) -> SignatureFacts:
    return SignatureFacts("", "", "", "", False, False, fault)


def _read(blob: bytes, digests: dict[str, str]) -> SignatureFacts:
    import lief  # noqa: PLC0415

    lief.logging.disable()
    signature: Any = lief.PE.Signature.parse(list(blob))
    if not isinstance(signature, lief.PE.Signature) or not signature.signers:
        return _faulty("cannot be parsed")
    signer = signature.signers[0]
    certificate = signer.cert
    # firmware does not look at the time, either
    verdict = signature.check(lief.PE.Signature.VERIFICATION_CHECKS.SKIP_CERT_TIME)
    digest = bytes(signature.content_info.digest).hex()
    algorithm = str(signature.digest_algorithm).rpartition(".")[2].replace("_", "").lower()
    return SignatureFacts(
        signer=_text(certificate.subject if certificate else ""),
        issuer=_text(signer.issuer),
        algorithm=algorithm,
        digest=digest,
        matches=digests.get(algorithm) == digest,
        intact=verdict == lief.PE.Signature.VERIFICATION_FLAGS.OK,
    )


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name

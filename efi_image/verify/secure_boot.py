"""Secure Boot: whether firmware with a given db and dbx would start a program.

LIEF is loaded only to look at a signature. Source: UEFI Specification 2.10, 32.5.3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from efi_image.formats.pe.authenticode import (
    SignedContent,
    digest_of,
    is_intact,
    name_text,
    parse_signatures,
)
from efi_image.formats.signature_list import KeyList


@dataclass(frozen=True, slots=True)
class Keys:
    """What firmware trusts (db) and what it refuses (dbx)."""

    db: KeyList
    dbx: KeyList


@dataclass(frozen=True, slots=True)
class Refusal:
    """The rule by which firmware refuses a program, and the reason."""

    code: str
    reason: str


def refusal(content: SignedContent, keys: Keys) -> Refusal | None:
    """Why firmware with these keys refuses a program; None if it starts it."""
    digests = content.digests
    own = bytes.fromhex(digests["sha256"])
    if own in keys.dbx.hashes:
        return Refusal("S103", f"its hash {own.hex()} is in dbx")
    if not content.certificates:
        return None if own in keys.db.hashes else Refusal("S101", f"its hash is {own.hex()}")
    signatures, unread = parse_signatures(content.certificates)
    if not signatures and not unread:
        return Refusal("S104", "its certificate table has no signature")
    first: Refusal | None = None
    if unread:
        first = Refusal("S105", f"{unread} of {len(signatures) + unread}")
    for signature in signatures:
        refused = _judge(signature, digests, keys)
        if refused is None or refused.code == "S103":
            return refused
        first = first or refused
    return None if own in keys.db.hashes else first


def _judge(signature: Any, digests: dict[str, str], keys: Keys) -> Refusal | None:
    """Why firmware does not accept a signature; None if it does."""
    chain = list(_chain(signature))
    algorithm, digest = digest_of(signature)
    if digests.get(algorithm) != digest:
        return Refusal("S104", "the digest that it signs is not the file's")
    if not chain or not is_intact(signature):
        return Refusal("S104", "the signature itself does not verify")
    revoked = next((c for c in chain if _is_revoked(c, keys.dbx)), None)
    if revoked is not None:
        return Refusal("S103", f"the certificate of {name_text(revoked.subject)} is in dbx")
    if any(_is_trusted(certificate, keys.db) for certificate in chain):
        return None
    return Refusal("S102", f"it is signed by {name_text(chain[0].subject)}")


@cache
def _certificates(keys: KeyList) -> list[Any]:
    import lief  # noqa: PLC0415

    return [found for der in sorted(keys.certificates) for found in lief.PE.x509.parse(list(der))]


def _chain(signature: Any) -> Iterator[Any]:
    """The signer's certificate, its issuer's, and so on, as far as the signature has them."""
    listed = list(signature.certificates)
    current = signature.signers[0].cert if len(signature.signers) else None
    for _ in range(len(listed)):
        if current is None:
            return
        yield current
        issuer = current.issuer
        if issuer == current.subject:
            return
        current = next((c for c in listed if c.subject == issuer), None)


def _is_trusted(certificate: Any, keys: KeyList) -> bool:
    """Whether a certificate is in the list, or issued by one that is."""
    return any(
        bytes(other.raw) == bytes(certificate.raw) or _issued(other, certificate)
        for other in _certificates(keys)
    )


def _issued(issuer: Any, certificate: Any) -> bool:
    """Whether a certificate is signed by an issuer; like UEFI, it ignores the dates."""
    import lief  # noqa: PLC0415

    if issuer.subject != certificate.issuer:
        return False
    return not issuer.verify(certificate) & lief.PE.x509.VERIFICATION_FLAGS.BADCERT_NOT_TRUSTED


def _is_revoked(certificate: Any, dbx: KeyList) -> bool:
    signed = _to_be_signed(bytes(certificate.raw))
    return hashlib.sha256(signed).digest() in dbx.certificate_hashes or _is_trusted(
        certificate, dbx
    )


def _to_be_signed(der: bytes) -> bytes:
    """The part of a certificate that its issuer signed: the first element (RFC 5280, 4.1)."""
    start, _ = _element(der, 0)
    inner, end = _element(der, start)
    return der[start:end] if inner else b""


def _element(der: bytes, offset: int) -> tuple[int, int]:
    """Start and end of a DER element's content; (0, 0) if there is none."""
    if len(der) < offset + 2:
        return 0, 0
    length, start = der[offset + 1], offset + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    return (start, start + length) if start + length <= len(der) else (0, 0)

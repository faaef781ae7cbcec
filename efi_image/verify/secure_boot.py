"""Secure Boot: whether firmware with a given db and dbx would start a program.

Source: UEFI Specification 2.10, 32.5.3, and what OVMF does where that leaves a choice
(docs/reference/firmware.md). Where two versions of OVMF differ, the verdict says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from efi_image.formats.pe import certificates
from efi_image.formats.pe.authenticode import (
    ALGORITHMS,
    PKCS_SIGNED_DATA,
    SignedContent,
    has_rest,
    read_signature,
    split_table,
)
from efi_image.formats.pe.pkcs7 import SignedData
from efi_image.formats.signature_list import HASH_SIZES, KeyList


@dataclass(frozen=True, slots=True)
class Keys:
    """What firmware trusts (db) and what it refuses (dbx)."""

    db: KeyList
    dbx: KeyList

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms by which unsigned programs are looked up."""
        hashes = self.db.hashes | self.dbx.hashes
        return frozenset({"sha256", *(HASH_SIZES[len(each)] for each in hashes)})


@dataclass(frozen=True, slots=True)
class Refusal:
    """The rule by which firmware refuses a program, and the reason."""

    code: str
    reason: str


_SEQUENCE = b"\x30"  # the tag that PKCS #7 begins with
_LESS = "OVMF 2022.11 does not start it, because"


def refusal(content: SignedContent, keys: Keys) -> Refusal | None:
    """Why firmware with these keys refuses a program; None if it starts it."""
    digests = {name: bytes.fromhex(digest) for name, digest in content.digests.items()}
    for digest in digests.values():
        if digest in keys.dbx.hashes:
            return Refusal("S103", f"its hash {digest.hex()} is in dbx")
    if not content.certificates:
        return _unsigned(digests, keys.db)
    contents = [
        data
        for kind, data in split_table(content.certificates)
        if kind == PKCS_SIGNED_DATA and data.startswith(_SEQUENCE)
    ]
    if not contents:
        return Refusal("S104", "its certificate table has no signature")
    verdicts = [_judge(read_signature(each), digests, keys) for each in contents]
    revoked = next((verdict for verdict in verdicts if verdict and verdict.code == "S103"), None)
    if revoked:
        return revoked
    if has_rest(content.certificates):
        return Refusal("S104", "its certificate table has bytes after the last signature")
    if None in verdicts:
        return None
    # one signature is enough; of several refusals the mildest says most
    return min(filter(None, verdicts), key=lambda verdict: _MILDEST.index(verdict.code))


_MILDEST = ("S106", "S105", "S102", "S104", "S107")


def _unsigned(digests: dict[str, bytes], db: KeyList) -> Refusal | None:
    if digests["sha256"] in db.hashes:
        return None
    for name, digest in digests.items():
        if digest in db.hashes:
            return Refusal("S106", f"{_LESS} db has only its {_shown(name)}")
    return Refusal("S101", f"its hash is {digests['sha256'].hex()}")


def _shown(algorithm: str) -> str:
    return algorithm.upper().replace("SHA", "SHA-")


def _judge(signed: SignedData | None, digests: dict[str, bytes], keys: Keys) -> Refusal | None:
    """Why firmware does not accept a signature; None if it does."""
    if signed is None:
        return Refusal("S105", "it is not PKCS #7 SignedData as Authenticode requires")
    if signed.algorithm not in ALGORITHMS:
        return Refusal("S107", f"it uses {_shown(signed.algorithm)}")
    chain = list(_chain(signed))
    revoked = next((each for each in chain if _is_revoked(each, keys.dbx)), None)
    if revoked is not None:
        return Refusal("S103", f"the certificate of {certificates.subject(revoked)} is in dbx")
    own = digests[signed.algorithm]
    if own in keys.db.hashes:  # firmware looks for the hash of the signature's algorithm
        return None
    if own != signed.digest:
        return Refusal("S104", "the digest that it signs is not the file's")
    return _judge_signer(signed, chain, keys.db)


def _judge_signer(signed: SignedData, chain: list[bytes], db: KeyList) -> Refusal | None:
    if not chain or not certificates.verifies(signed, chain[0]):
        return Refusal("S104", "the signature itself does not verify")
    if not any(_is_trusted(each, db) for each in chain):
        return Refusal("S102", f"it is signed by {certificates.subject(chain[0])}")
    if certificates.is_elliptic(chain[0]):
        return Refusal("S106", f"{_LESS} its key is ECDSA")
    return None


def _chain(signed: SignedData) -> Iterator[bytes]:
    """The signer's certificate, its issuer's, and so on, as far as the signature has them."""
    current = certificates.signer_of(signed)
    seen: set[bytes] = set()
    while current is not None and current not in seen:
        yield current
        seen.add(current)
        current = next(
            (
                each
                for each in signed.certificates
                if each not in seen and certificates.is_issued_by(current, each)
            ),
            None,
        )


def _is_trusted(certificate: bytes, keys: KeyList) -> bool:
    """Whether a certificate is in the list, or issued by one that is."""
    return certificate in keys.certificates or any(
        certificates.is_issued_by(certificate, each) for each in sorted(keys.certificates)
    )


def _is_revoked(certificate: bytes, dbx: KeyList) -> bool:
    signed = certificates.signed_part(certificate)
    return sha256(signed).digest() in dbx.certificate_hashes or _is_trusted(certificate, dbx)

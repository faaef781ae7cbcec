"""Secure Boot: whether firmware with a given db and dbx would start a program.

db and dbx are EFI signature lists (with or without the header of an authenticated
variable), certificates (PEM or DER), or SHA-256 hashes in hexadecimal, one a line.
LIEF is imported when a signature is looked at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from efi_image.errors import InputError
from efi_image.verify.pe_header import PeHeader

X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
SHA256 = UUID("c1c41626-504c-4092-aca9-41f936934328")
X509_SHA256 = UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")
OWNER_SIZE = 16
LIST_HEADER = struct.Struct("<16sIII")
MAX_SIZE = 4 << 20
TIME_SIZE, CERT_TYPE = 16, 0x0EF1
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.S)


@dataclass(frozen=True)
class KeyList:
    """One of the variables: certificates (DER), hashes of programs and of certificates."""

    certificates: frozenset[bytes] = frozenset()
    hashes: frozenset[bytes] = frozenset()
    certificate_hashes: frozenset[bytes] = frozenset()

    def __or__(self, other: KeyList) -> KeyList:
        return KeyList(
            self.certificates | other.certificates,
            self.hashes | other.hashes,
            self.certificate_hashes | other.certificate_hashes,
        )


@dataclass(frozen=True)
class Keys:
    """What a firmware trusts, and what it does not."""

    db: KeyList
    dbx: KeyList


@dataclass(frozen=True)
class Refusal:
    """The rule by which firmware refuses a program."""

    code: str
    reason: str


# ---- reading keys


def read_keys(paths: Iterable[Path]) -> KeyList:
    """The keys in all of the files; raises InputError."""
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
    """Signature lists, certificates or hashes; raises InputError."""
    pem = _PEM.findall(data)
    if pem:
        try:
            return KeyList(frozenset(base64.b64decode(b"".join(p.split())) for p in pem))
        except binascii.Error:
            raise InputError("has a certificate that is no base64", where=name) from None
    if re.fullmatch(rb"(\s*[0-9a-fA-F]{64}\s*(#[^\n]*)?)+", data[:MAX_SIZE]):
        return KeyList(hashes=frozenset(bytes.fromhex(h.decode()) for h in _hashes(data)))
    if data[:2] == b"\x30\x82":
        return KeyList(frozenset({data}))
    return _lists(data, name)


def _hashes(data: bytes) -> list[bytes]:
    lines = (line.split(b"#")[0].strip() for line in data.splitlines())
    return [line for line in lines if line]


def _lists(data: bytes, name: str) -> KeyList:
    place = _authentication_size(data)
    certificates, hashes, certificate_hashes = set(), set(), set()
    bad = InputError("is no EFI signature list, certificate or list of SHA-256 hashes", where=name)
    if not data:
        raise bad
    while place < len(data):
        if len(data) - place < LIST_HEADER.size:
            raise bad
        kind, size, header_size, entry_size = LIST_HEADER.unpack_from(data, place)
        start = place + LIST_HEADER.size + header_size
        end = place + size
        if not start <= end <= len(data) or entry_size <= OWNER_SIZE or size < LIST_HEADER.size:
            raise bad
        kind_id = UUID(bytes_le=kind)
        for offset in range(start, end - entry_size + 1, entry_size):
            entry = data[offset + OWNER_SIZE : offset + entry_size]
            if kind_id == X509:
                certificates.add(entry)
            elif kind_id == SHA256:
                hashes.add(entry)
            elif kind_id == X509_SHA256:
                certificate_hashes.add(entry[:32])
        place = end
    return KeyList(frozenset(certificates), frozenset(hashes), frozenset(certificate_hashes))


def _authentication_size(data: bytes) -> int:
    """Bytes of EFI_VARIABLE_AUTHENTICATION_2 before the lists."""
    if len(data) < 40:
        return 0
    length, _, kind = struct.unpack_from("<IHH", data, TIME_SIZE)
    return TIME_SIZE + length if kind == CERT_TYPE and length < len(data) - TIME_SIZE else 0


# ---- judging a program


def authenticode_hash(data: bytes, header: PeHeader) -> bytes:
    """The SHA-256 that Secure Boot takes of a program: all but checksum and signatures."""
    digest = hashlib.sha256(data[: header.checksum_at])
    start, size = header.security
    if len(header.directories) > 4:
        digest.update(data[header.checksum_at + 4 : header.security_at])
        digest.update(data[header.security_at + 8 : start if size else len(data)])
        if size:
            digest.update(data[start + size :])
    else:
        digest.update(data[header.checksum_at + 4 :])
    return digest.digest()


def judge(data: bytes, header: PeHeader, keys: Keys) -> Refusal | None:
    """Why firmware with those keys refuses a program; None if it starts it."""
    own = authenticode_hash(data, header)
    if own in keys.dbx.hashes:
        return Refusal("S103", f"its hash {own.hex()} is in dbx")
    if not all(header.security):
        if own in keys.db.hashes:
            return None
        return Refusal("S101", f"its hash is {own.hex()}")
    return _judge_signatures(data, own, keys)


def _judge_signatures(data: bytes, own: bytes, keys: Keys) -> Refusal | None:
    import lief  # noqa: PLC0415

    lief.logging.disable()
    binary = lief.PE.parse(data)
    signatures = list(binary.signatures) if isinstance(binary, lief.PE.Binary) else []
    if binary is None or not signatures:
        return Refusal("S104", "its certificate table holds no signature that can be read")
    db = _certificates(keys.db, lief)
    refusal: Refusal | None = None
    for signature in signatures:
        flags = binary.verify_signature(
            signature, lief.PE.Signature.VERIFICATION_CHECKS.SKIP_CERT_TIME
        )
        chain = list(_chain(signature))
        if flags != lief.PE.Signature.VERIFICATION_FLAGS.OK or not chain:
            refusal = refusal or Refusal("S104", _flags_text(flags))
            continue
        revoked = next((c for c in chain if _is_revoked(c, keys.dbx, lief)), None)
        if revoked is not None:
            return Refusal("S103", f"the certificate of {_name(revoked.subject)} is in dbx")
        if any(_is_trusted(certificate, db, lief) for certificate in chain):
            return None
        refusal = refusal or Refusal("S102", f"it is signed by {_name(chain[0].subject)}")
    return None if own in keys.db.hashes else refusal


def _flags_text(flags: Any) -> str:
    return f"its check says {str(flags).rpartition('.')[2]}"


def _name(subject: str) -> str:
    return subject.replace("\\x", "?")


def _certificates(keys: KeyList, lief: Any) -> list[Any]:
    return [found for der in sorted(keys.certificates) for found in lief.PE.x509.parse(list(der))]


def _chain(signature: Any) -> Iterator[Any]:
    """The signer's certificate, its issuer's, and so on, as far as they are there."""
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


def _is_trusted(certificate: Any, trusted: Iterable[Any], lief: Any) -> bool:
    return any(
        bytes(other.raw) == bytes(certificate.raw) or _issued(other, certificate, lief)
        for other in trusted
    )


def _issued(issuer: Any, certificate: Any, lief: Any) -> bool:
    """Whether a certificate is signed by an issuer; UEFI looks at no dates."""
    if issuer.subject != certificate.issuer:
        return False
    return not issuer.verify(certificate) & lief.PE.x509.VERIFICATION_FLAGS.BADCERT_NOT_TRUSTED


def _is_revoked(certificate: Any, dbx: KeyList, lief: Any) -> bool:
    if hashlib.sha256(_to_be_signed(bytes(certificate.raw))).digest() in dbx.certificate_hashes:
        return True
    return _is_trusted(certificate, _certificates(dbx, lief), lief)


def _to_be_signed(der: bytes) -> bytes:
    """The part of a certificate that its issuer signed: the first element of the sequence."""
    start, _ = _element(der, 0)
    inner, end = _element(der, start)
    return der[start:end] if inner else b""


def _element(der: bytes, place: int) -> tuple[int, int]:
    """Where the content of a DER element begins and ends; (0, 0) if there is none."""
    if len(der) < place + 2:
        return 0, 0
    length, start = der[place + 1], place + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    return (start, start + length) if start + length <= len(der) else (0, 0)

"""How OVMF treats signed programs: the second table of docs/reference/firmware.md.

tests/boot/test_secure_boot_verdicts.py boots every row with the keys of `databases`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from firmware_rows import NOTHING, STARTS, VERSIONS
from secure_lab import (
    HASHES,
    X509,
    X509_SHA256,
    SecureLab,
    linear_digest,
    set_table_size,
    signature_list,
    table_size,
    uefi_digest,
    with_gap,
)

Sign = Callable[[SecureLab, bytes], bytes]
Enroll = Callable[[bytes], tuple[str, bytes]]  # of the unsigned program: list's hash, its entry


@dataclass(frozen=True)
class SecureRow:
    """A program, what both OVMF versions do with it, and the rule by which `verify` refuses it.

    `db` and `dbx` are hash algorithms by which it is enrolled there; `enrolled` computes the hash.
    """

    program: str
    sign: Sign
    result: str
    newest: str = ""
    rule: str = ""
    db: str = ""
    dbx: str = ""
    change: Callable[[bytes], bytes] = bytes
    enrolled: Callable[[bytes], bytes] | None = None

    @property
    def results(self) -> tuple[str, str]:
        """By VERSIONS."""
        return self.result, self.newest or self.result


def _unsigned(_lab: SecureLab, program: bytes) -> bytes:
    return program


def _sbsign(name: str = "good", kind: str = "") -> Sign:
    return lambda lab, program: lab.sbsign(program, lab.key(name, kind=kind))


def _ossl(digest: str, name: str = "good", kind: str = "") -> Sign:
    return lambda lab, program: lab.osslsigncode(program, lab.key(name, kind=kind), digest)


def _pesign(digest: str) -> Sign:
    return lambda lab, program: lab.pesign(program, lab.key("good"), digest)


def _leaf(*chain: str) -> Sign:
    """Signed by `leaf`, which `middle` issued, which `good` issued."""

    def sign(lab: SecureLab, program: bytes) -> bytes:
        lab.key("middle", "good")
        lab.key("leaf", "middle")
        return lab.sbsign(program, lab.key("leaf"), *(lab.key(name) for name in chain))

    return sign


def _issued(name: str, issuer: str = "good", usage: str = "") -> Sign:
    return lambda lab, program: lab.sbsign(program, lab.key(name, issuer, usage=usage))


def _twice(first: Sign, second: Sign) -> Sign:
    return lambda lab, program: second(lab, first(lab, program))


def _then(sign: Sign, change: Callable[[bytearray], object]) -> Sign:
    """Signed, then changed."""

    def make(lab: SecureLab, program: bytes) -> bytes:
        data = bytearray(sign(lab, program))
        change(data)
        return bytes(data)

    return make


def _flip(at: int) -> Callable[[bytearray], object]:
    return lambda data: data.__setitem__(at, data[at] ^ 1)


def _longer_table(data: bytearray) -> None:
    size = table_size(data)
    data.extend(bytes(8))
    set_table_size(data, size + 8)


def _odd(program: bytes) -> bytes:
    return program + b"abc"


def _padded(program: bytes) -> bytes:
    return uefi_digest(program + bytes(-len(program) % 8))


ROWS = (
    SecureRow("not signed", _unsigned, NOTHING, rule="S101"),
    SecureRow("not signed, SHA-256 in db", _unsigned, STARTS, db="sha256"),
    SecureRow("not signed, SHA-1 in db", _unsigned, NOTHING, STARTS, rule="S106", db="sha1"),
    SecureRow("not signed, SHA-384 in db", _unsigned, NOTHING, STARTS, rule="S106", db="sha384"),
    SecureRow("not signed, SHA-512 in db", _unsigned, NOTHING, STARTS, rule="S106", db="sha512"),
    SecureRow(
        "not signed, SHA-256 in db and dbx",
        _unsigned,
        NOTHING,
        rule="S103",
        db="sha256",
        dbx="sha256",
    ),
    SecureRow(
        "not signed, 1 byte changed, old SHA-256 in db",
        _then(_unsigned, _flip(0x250)),
        NOTHING,
        rule="S101",
        db="sha256",
    ),
    SecureRow(
        "a gap between sections, SHA-256 by UEFI's procedure in db",
        _unsigned,
        STARTS,
        db="sha256",
        change=with_gap,
    ),
    SecureRow(
        "a gap between sections, SHA-256 from front to back in db",
        _unsigned,
        NOTHING,
        rule="S101",
        db="sha256",
        change=with_gap,
        enrolled=linear_digest,
    ),
    SecureRow("a length of 8n + 3, SHA-256 in db", _unsigned, STARTS, db="sha256", change=_odd),
    SecureRow(
        "a length of 8n + 3, SHA-256 with padding in db",
        _unsigned,
        NOTHING,
        rule="S101",
        db="sha256",
        change=_odd,
        enrolled=_padded,
    ),
    SecureRow("sbsign, RSA-2048, SHA-256", _sbsign(), STARTS),
    SecureRow("sbsign, RSA-3072", _sbsign("rsa3072", "rsa3072"), STARTS),
    SecureRow("sbsign, RSA-4096", _sbsign("rsa4096", "rsa4096"), STARTS),
    SecureRow("sbsign, RSA-1024", _sbsign("rsa1024", "rsa1024"), STARTS),
    SecureRow("osslsigncode, SHA-256", _ossl("sha256"), STARTS),
    SecureRow("osslsigncode, SHA-384", _ossl("sha384"), STARTS),
    SecureRow("osslsigncode, SHA-512", _ossl("sha512"), STARTS),
    SecureRow("osslsigncode, SHA-1", _ossl("sha1"), STARTS),
    SecureRow("osslsigncode, MD5", _ossl("md5"), NOTHING, rule="S107"),
    SecureRow(
        "osslsigncode, ECDSA P-256", _ossl("sha256", "p256", "p256"), NOTHING, STARTS, rule="S106"
    ),
    SecureRow(
        "osslsigncode, ECDSA P-384, SHA-384",
        _ossl("sha384", "p384", "p384"),
        NOTHING,
        STARTS,
        rule="S106",
    ),
    SecureRow("pesign, SHA-256", _pesign("sha256"), STARTS),
    SecureRow("pesign, SHA-1", _pesign("sha1"), STARTS),
    SecureRow("sbsign, a gap between sections", _sbsign(), STARTS, change=with_gap),
    SecureRow(
        "osslsigncode, a gap between sections",
        _ossl("sha256"),
        NOTHING,
        rule="S104",
        change=with_gap,
    ),
    SecureRow("sbsign, a length of 8n + 3", _sbsign(), STARTS, change=_odd),
    SecureRow("osslsigncode, a length of 8n + 3", _ossl("sha256"), STARTS, change=_odd),
    SecureRow("pesign, a length of 8n + 3", _pesign("sha256"), STARTS, change=_odd),
    SecureRow(
        "signed, then a byte of a section changed",
        _then(_sbsign(), _flip(0x250)),
        NOTHING,
        rule="S104",
    ),
    SecureRow(
        "signed, then the header's time stamp changed",
        _then(_sbsign(), _flip(0x48)),
        NOTHING,
        rule="S104",
    ),
    SecureRow("signed, then the checksum changed", _then(_sbsign(), _flip(0x40 + 24 + 64)), STARTS),
    SecureRow(
        "signed, then bytes appended",
        _then(_sbsign(), lambda d: d.extend(bytes(8))),
        NOTHING,
        rule="S104",
    ),
    SecureRow(
        "signed, then the certificate table made longer",
        _then(_sbsign(), _longer_table),
        NOTHING,
        rule="S104",
    ),
    SecureRow("osslsigncode, MD5, SHA-256 in db", _ossl("md5"), NOTHING, rule="S107", db="sha256"),
    SecureRow(
        "signed, then the signature changed", _then(_sbsign(), _flip(-40)), NOTHING, rule="S104"
    ),
    SecureRow("another key", _sbsign("stranger"), NOTHING, rule="S102"),
    SecureRow("another key, SHA-256 in db", _sbsign("stranger"), STARTS, db="sha256"),
    SecureRow(
        "another key and SHA-384, SHA-256 in db",
        _ossl("sha384", "stranger"),
        NOTHING,
        rule="S102",
        db="sha256",
    ),
    SecureRow(
        "another key and SHA-384, SHA-384 in db", _ossl("sha384", "stranger"), STARTS, db="sha384"
    ),
    SecureRow("signed, SHA-256 in dbx", _sbsign(), NOTHING, rule="S103", dbx="sha256"),
    SecureRow("an issued key, its root in db", _issued("child"), STARTS),
    SecureRow("an issued key for TLS servers", _issued("tls", usage="serverAuth"), STARTS),
    SecureRow("a chain of three, all certificates included", _leaf("middle"), STARTS),
    SecureRow("a chain of three without the middle certificate", _leaf(), NOTHING, rule="S102"),
    SecureRow("an issued key, itself in db", _issued("enrolled", "stranger"), STARTS),
    SecureRow("an issued key, itself in dbx", _issued("revoked"), NOTHING, rule="S103"),
    SecureRow(
        "an issued key, its certificate's hash in dbx", _issued("hashed"), NOTHING, rule="S103"
    ),
    SecureRow(
        "a key in db whose issuer is in dbx", _issued("orphan", "banned"), NOTHING, rule="S103"
    ),
    SecureRow(
        "two signatures, by another key and by one in db",
        _twice(_sbsign("stranger"), _sbsign()),
        STARTS,
    ),
    SecureRow(
        "two signatures, by a key in db and by another",
        _twice(_sbsign(), _sbsign("stranger")),
        STARTS,
    ),
    SecureRow(
        "two signatures, by a key in db and by one in dbx",
        _twice(_sbsign(), _issued("revoked")),
        NOTHING,
        rule="S103",
    ),
    SecureRow(
        "two signatures, by a key in dbx and by one in db",
        _twice(_issued("revoked"), _sbsign()),
        NOTHING,
        rule="S103",
    ),
)


def programs(lab: SecureLab, program: Callable[[int], bytes]) -> list[bytes]:
    """The file of every row; `program` gives the one with a number."""
    return [row.sign(lab, row.change(program(number))) for number, row in enumerate(ROWS)]


def databases(lab: SecureLab, program: Callable[[int], bytes]) -> tuple[bytes, bytes]:
    """db and dbx for all rows; after `programs`."""
    trusted = ("good", "rsa3072", "rsa4096", "rsa1024", "p256", "p384", "enrolled", "orphan")
    db = [signature_list(X509, lab.key(name).der) for name in trusted]
    dbx = [signature_list(X509, lab.key(name).der) for name in ("revoked", "banned")]
    revoked = hashlib.sha256(lab.key("hashed").signed_part).digest()
    dbx.append(signature_list(X509_SHA256, revoked + bytes(16)))
    for number, row in enumerate(ROWS):
        whole = row.change(program(number))
        for algorithm, lists in ((row.db, db), (row.dbx, dbx)):
            if algorithm:
                digest = row.enrolled(whole) if row.enrolled else uefi_digest(whole, algorithm)
                lists.append(signature_list(HASHES[algorithm], digest))
    return b"".join(db), b"".join(dbx)


def markdown() -> str:
    """The rows as a table for docs/reference/firmware.md."""
    heads = " | ".join(f"OVMF {version}" for version in VERSIONS)
    lines = [f"| program | {heads} | `verify` |", "| --- | --- | --- | --- |"]
    for row in ROWS:
        lines.append(f"| {row.program} | {' | '.join(row.results)} | {row.rule or 'clean'} |")
    return "\n".join(lines) + "\n"

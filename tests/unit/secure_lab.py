"""Keys by openssl, programs signed by sbsign, osslsigncode and pesign, and lists of db and dbx."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import oracles

X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
X509_SHA256 = UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")
# the types of lists of files' hashes (UEFI 2.10, 32.4.1)
HASHES = {
    "sha1": UUID("826ca512-cf10-4ac9-b187-be01496631bd"),
    "sha256": UUID("c1c41626-504c-4092-aca9-41f936934328"),
    "sha384": UUID("ff3e5307-9fd0-48c9-85f1-8ad56c701e01"),
    "sha512": UUID("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a"),
}
_OWNER = UUID(bytes_le=bytes(15) + b"5")
_DIRECTORY = 0x40 + 24 + 112 + 4 * 8  # of the certificate table, in files of makepe
_CHECKSUM, _HEADERS = 0x40 + 24 + 64, 0x200


def signature_list(kind: UUID, *entries: bytes) -> bytes:
    """An EFI signature list (UEFI 2.10, 32.4.1)."""
    body = b"".join(_OWNER.bytes_le + entry for entry in entries)
    head = struct.pack("<III", 28 + len(body), 0, 16 + len(entries[0]))
    return kind.bytes_le + head + body


@dataclass(frozen=True)
class Key:
    """A private key and its certificate, PEM."""

    key: Path
    certificate: Path

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        target = self.certificate.with_suffix(".der")
        oracles.run("openssl", "x509", "-in", self.certificate, "-outform", "DER", "-out", target)
        return target.read_bytes()

    @property
    def signed_part(self) -> bytes:
        """The part that the certificate's issuer signed, by openssl (RFC 5280, 4.1)."""
        listing = oracles.run("openssl", "asn1parse", "-in", self.certificate)
        second = listing.splitlines()[1]
        start = int(second.split(":")[0])
        header, length = (int(second.split(f"{word}=")[1].split()[0]) for word in ("hl", " l"))
        return self.der[start : start + header + length]


KINDS = {
    "": ("-newkey", "rsa:2048"),
    "rsa3072": ("-newkey", "rsa:3072"),
    "rsa4096": ("-newkey", "rsa:4096"),
    "rsa1024": ("-newkey", "rsa:1024"),
    "p256": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "p384": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
}


@dataclass(frozen=True)
class SecureLab:
    """Keys and signed programs in a folder; equal requests give the same key."""

    folder: Path
    keys: dict[str, Key] = field(default_factory=dict)

    def key(self, name: str, issuer: str = "", kind: str = "", usage: str = "") -> Key:
        """A self-signed key, or one issued by another; `usage` is the extended key usage."""
        if name not in self.keys:
            key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.pem"
            options = [*KINDS[kind], "-nodes", "-subj", f"/CN={name}", "-days", "9"]
            if issuer:
                by = self.key(issuer)
                options += ["-CA", str(by.certificate), "-CAkey", str(by.key)]
            if usage:
                options += ["-addext", f"extendedKeyUsage={usage}"]
            oracles.run("openssl", "req", "-x509", *options, "-keyout", key, "-out", certificate)
            self.keys[name] = Key(key, certificate)
        return self.keys[name]

    def sbsign(self, program: bytes, key: Key, *more: Key) -> bytes:
        """Signed by sbsign; `more` are certificates that the signature has too."""
        source, target = self._files(program)
        options: list[str | Path] = ["--key", key.key, "--cert", key.certificate]
        if more:
            chain = self.folder / "chain.pem"
            chain.write_bytes(b"".join(each.certificate.read_bytes() for each in more))
            options += ["--addcert", chain]
        oracles.run("sbsign", *options, "--output", target, source)
        return target.read_bytes()

    def osslsigncode(self, program: bytes, key: Key, digest: str = "sha256") -> bytes:
        """Signed by osslsigncode."""
        source, target = self._files(program)
        target.unlink(missing_ok=True)
        options = ("-h", digest, "-certs", key.certificate, "-key", key.key)
        oracles.run("osslsigncode", "sign", *options, "-in", source, "-out", target)
        return target.read_bytes()

    def pesign(self, program: bytes, key: Key, digest: str = "sha256") -> bytes:
        """Signed by pesign."""
        source, target = self._files(program)
        database, exported = self.folder / "nss", self.folder / "key.p12"
        if not database.exists():
            database.mkdir()
            oracles.run("certutil", "-N", "-d", database, "--empty-password")
        name = key.key.stem
        oracles.run(
            "openssl", "pkcs12", "-export", "-inkey", key.key, "-in", key.certificate,
            "-out", exported, "-passout", "pass:", "-name", name,
        )  # fmt: skip
        oracles.run("pk12util", "-i", exported, "-d", database, "-W", "")
        oracles.run(
            "pesign", "-n", database, "-c", name, "-s", "-d", digest, "-f", "-i", source,
            "-o", target,
        )  # fmt: skip
        return target.read_bytes()

    def _files(self, program: bytes) -> tuple[Path, Path]:
        source = self.folder / "source.efi"
        source.write_bytes(program)
        return source, self.folder / "signed.efi"


def uefi_digest(program: bytes, algorithm: str = "sha256") -> bytes:
    """An unsigned program's hash (UEFI 2.10, 32.5.1.3): headers, sections by position, the rest."""
    digest = hashlib.new(algorithm, program[:_CHECKSUM])
    digest.update(program[_CHECKSUM + 4 : _DIRECTORY] + program[_DIRECTORY + 8 : _HEADERS])
    count = struct.unpack_from("<H", program, 0x40 + 6)[0]
    rows = [struct.unpack_from("<II", program, 0x40 + 24 + 240 + 40 * n + 16) for n in range(count)]
    hashed = _HEADERS
    for size, start in sorted(rows, key=lambda row: row[1]):
        digest.update(program[start : start + size])
        hashed += size
    digest.update(program[hashed:])
    return digest.digest()


def linear_digest(program: bytes) -> bytes:
    """An unsigned program's hash from front to back."""
    parts = program[:_CHECKSUM], program[_CHECKSUM + 4 : _DIRECTORY], program[_DIRECTORY + 8 :]
    return hashlib.sha256(b"".join(parts)).digest()


def with_gap(program: bytes, size: int = 512) -> bytes:
    """The program with bytes between .text and .reloc that belong to no section."""
    data = bytearray(program[:0x400] + b"\xaa" * size + program[0x400:])
    struct.pack_into("<I", data, 0x40 + 24 + 240 + 40 + 20, 0x400 + size)
    return bytes(data)


def table_size(program: bytes | bytearray) -> int:
    """The size of a signed program's certificate table, by its directory."""
    return int(struct.unpack_from("<I", program, _DIRECTORY + 4)[0])


def set_table_size(program: bytearray, size: int) -> None:
    """Changes it."""
    struct.pack_into("<I", program, _DIRECTORY + 4, size)

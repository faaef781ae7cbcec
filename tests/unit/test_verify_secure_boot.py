"""Signatures against db and dbx; keys by openssl, signatures by sbsign, sbverify as oracle."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from fatdamage import Fat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from makepe import make_pe
from pedamage import patched
from secure_lab import HASHES, X509, X509_SHA256, Key, SecureLab, signature_list
from test_verify_boot import BOOT, codes, volume

from efi_image.errors import InputError, PeError
from efi_image.formats.pe import certificates as x509
from efi_image.formats.pe.authenticode import SignedContent, read_signature
from efi_image.formats.pe.headers import PeHeader, read_headers
from efi_image.formats.signature_list import KeyList, parse_keys, read_keys
from efi_image.verify import Options, verify
from efi_image.verify.secure_boot import Keys, Refusal, refusal

SHA256 = HASHES["sha256"]
GOOD = make_pe(text=b"\x90" * 900)


@dataclass(frozen=True)
class Lab:
    """A root, a key that it issued, a stranger; and programs signed by them."""

    root: Key
    leaf: Key
    stranger: Key
    by_root: bytes
    by_leaf: bytes
    by_stranger: bytes


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    keys = SecureLab(tmp_path_factory.mktemp("keys"))
    three = keys.key("root"), keys.key("leaf", "root"), keys.key("stranger")
    return Lab(*three, *(keys.sbsign(GOOD, key) for key in three))


def found(tmp_path: Path, program: bytes, db: KeyList, dbx: KeyList | None = None) -> set[str]:
    keys = Keys(db, dbx or KeyList())
    return codes(verify(volume(tmp_path, {BOOT: program}), Options(keys=keys)))


def parse(data: bytes) -> PeHeader:
    return read_headers(lambda offset, count: data[offset : offset + count])


def content(data: bytes, algorithms: Sequence[str] = ("sha256",)) -> SignedContent:
    return SignedContent(
        parse(data), lambda at, count: data[at : at + count], len(data), algorithms
    )


def own_hash(data: bytes) -> bytes:
    return bytes.fromhex(content(data).digests["sha256"])


def certificates(*keys: Key) -> KeyList:
    return KeyList(frozenset(key.der for key in keys))


@pytest.mark.slow
def test_trusted(tmp_path: Path, lab: Lab) -> None:
    assert found(tmp_path, lab.by_root, certificates(lab.root)) == set()
    assert found(tmp_path, lab.by_leaf, certificates(lab.leaf)) == set()
    assert found(tmp_path, lab.by_leaf, certificates(lab.root, lab.stranger)) == set()


def test_not_trusted(tmp_path: Path, lab: Lab) -> None:
    assert found(tmp_path, GOOD, certificates(lab.root)) == {"S101"}
    assert found(tmp_path, lab.by_stranger, certificates(lab.root, lab.leaf)) == {"S102"}
    assert found(tmp_path, lab.by_root, certificates(lab.leaf)) == {"S102"}


def test_hashes(tmp_path: Path, lab: Lab) -> None:
    hashes = KeyList(hashes=frozenset({own_hash(GOOD)}))
    assert found(tmp_path, GOOD, hashes) == set()
    # sbsign pads nothing here: the hash of the signed file is that of the unsigned one
    assert own_hash(lab.by_root) == own_hash(GOOD)
    assert found(tmp_path, lab.by_stranger, hashes) == set()


def test_revoked(tmp_path: Path, lab: Lab) -> None:
    db = certificates(lab.root)
    assert found(tmp_path, lab.by_root, db, KeyList(hashes=frozenset({own_hash(GOOD)}))) == {"S103"}
    assert found(tmp_path, lab.by_leaf, db, certificates(lab.leaf)) == {"S103"}
    assert found(tmp_path, lab.by_leaf, db, certificates(lab.root)) == {"S103"}
    assert found(tmp_path, lab.by_leaf, db, certificates(lab.stranger)) == set()


def test_revoked_by_the_hash_of_a_certificate(tmp_path: Path, lab: Lab) -> None:
    digest = hashlib.sha256(lab.leaf.signed_part).digest()
    dbx = parse_keys(signature_list(X509_SHA256, digest + bytes(16)), "dbx")
    assert dbx.certificate_hashes == {digest}
    assert found(tmp_path, lab.by_leaf, certificates(lab.root), dbx) == {"S103"}


def test_changed_after_signing(tmp_path: Path, lab: Lab) -> None:
    changed = bytearray(lab.by_root)
    changed[0x240] ^= 1
    assert found(tmp_path, bytes(changed), certificates(lab.root)) == {"S104"}
    changed = bytearray(lab.by_root)
    changed[-300] ^= 1
    assert found(tmp_path, bytes(changed), certificates(lab.root)) == {"S104"}
    start = parse(lab.by_root).certificates[0]
    rubbish = lab.by_root[: start + 8] + bytes(len(lab.by_root) - start - 8)
    assert found(tmp_path, rubbish, certificates(lab.root)) == {"S104"}


def test_a_program_that_cannot_be_read_to_its_end_is_not_judged(tmp_path: Path) -> None:
    program = make_pe(text=b"\xc3" * 300_000)
    image = volume(tmp_path, {BOOT: program})
    fat = Fat(bytearray(image.read_bytes()))
    at = None
    for name in (b"EFI        ", b"BOOT       ", b"BOOTX64 EFI"):
        first = fat.first(fat.find(name, at))
        at = fat.offset(first)
    fat.set(first + (len(program) - 1) // fat.cluster_size - 1, 0)
    image.write_bytes(fat.data)
    keys = Keys(KeyList(hashes=frozenset({own_hash(program)})), KeyList())
    assert codes(verify(image, Options(keys=keys))) == {"B106", "F204", "F209"}


def test_a_signature_that_cannot_be_read_is_not_called_changed(tmp_path: Path, lab: Lab) -> None:
    start = parse(lab.by_root).certificates[0] + 8
    strange = patched(lab.by_root, start + 4, "BB", 0x04, 0x09)  # not an object identifier
    assert found(tmp_path, strange, certificates(lab.root)) == {"S105"}


def test_a_signer_whose_name_is_not_unicode(lab: Lab) -> None:
    issuer = lab.by_root.index(b"root")
    subject = lab.by_root.index(b"root", issuer + 1)
    changed = patched(lab.by_root, subject, "B", 0x80)
    refused = refusal(content(changed), Keys(certificates(lab.stranger), KeyList()))
    assert refused == Refusal("S102", "it is signed by a name that cannot be read")


def test_reading_keys(tmp_path: Path, lab: Lab) -> None:
    der, digests = lab.root.der, [hashlib.sha256(bytes([n])).digest() for n in range(3)]
    lists = (
        signature_list(X509, der)
        + signature_list(SHA256, *digests)
        + signature_list(UUID(bytes_le=bytes(15) + b"9"), b"unknown")
    )
    wanted = KeyList(frozenset({der}), frozenset(digests))
    assert parse_keys(lists, "db") == wanted
    authentication = bytes(16) + struct.pack("<IHH", 24 + 40, 0x200, 0x0EF1) + bytes(56)
    assert parse_keys(authentication + lists, "db") == wanted
    assert parse_keys(der, "db") == KeyList(frozenset({der}))
    text = f"# comment\n{digests[0].hex()}  # a\n{digests[1].hex()}\n".encode()
    (tmp_path / "hashes").write_bytes(text.removeprefix(b"# comment\n"))
    (tmp_path / "db.esl").write_bytes(signature_list(X509, der))
    read = read_keys([tmp_path / "hashes", tmp_path / "db.esl"])
    assert read == KeyList(frozenset({der}), frozenset(digests[:2]))


@pytest.mark.parametrize(
    "data",
    [b"", b"text", bytes(28), signature_list(SHA256, bytes(32))[:-1],
     signature_list(SHA256, bytes(32)) + b"x",
     X509.bytes_le + struct.pack("<III", 28, 0, 0), b"\xff" * 100,
     b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----"],
)  # fmt: skip
def test_bad_keys(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_keys(data, "db")


@settings(max_examples=50, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", X509.bytes_le, SHA256.bytes_le, b"\x30\x82"]),
)
def test_random_keys(data: bytes, prefix: bytes) -> None:
    try:
        keys = parse_keys(prefix + data, "db")
    except InputError:
        return
    assert isinstance(keys, KeyList)


@settings(max_examples=25, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.lists(st.tuples(st.integers(0, 2200), st.integers(0, 255)), min_size=1, max_size=6))
def test_random_damage_of_a_signature(lab: Lab, changes: list[tuple[int, int]]) -> None:
    data = bytearray(lab.by_root)
    start = parse(lab.by_root).certificates[0]
    for at, value in changes:
        data[(start + at) % len(data)] = value
    try:
        header = parse(bytes(data))
    except PeError:
        return
    if header.end > len(data):
        return  # truncated files are not judged
    keys = Keys(certificates(lab.root), certificates(lab.stranger))
    if refusal(content(bytes(data)), keys) is None:
        # the signed content is unchanged
        assert own_hash(bytes(data)) == own_hash(lab.by_root)


def test_missing_keys(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_keys([tmp_path / "missing"])


@pytest.mark.parametrize("algorithm", HASHES)
def test_lists_of_other_hashes(tmp_path: Path, algorithm: str) -> None:
    own = bytes.fromhex(content(GOOD, [algorithm]).digests[algorithm])
    db = parse_keys(signature_list(HASHES[algorithm], own), "db")
    assert db.hashes == {own}
    assert found(tmp_path, GOOD, db) == (set() if algorithm == "sha256" else {"S106"})
    assert found(tmp_path, GOOD, db, db) == {"S103"}


@settings(max_examples=200, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_damaged_signatures_are_read_or_refused(lab: Lab, data: st.DataObject) -> None:
    start, size = parse(lab.by_root).certificates
    whole = bytearray(lab.by_root[start + 8 : start + size])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    signed = read_signature(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    if signed is None:
        return
    for der in signed.certificates:
        assert x509.subject(der)
        assert x509.issuer(der)
        assert x509.is_elliptic(der) in (False, True)
        assert x509.is_issued_by(der, lab.root.der) in (False, True)
        assert x509.verifies(signed, der) in (False, True)


ODD_CERTIFICATES = {
    "version 4": (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"),
    "a bit string as a name": (b"\x0c\x04root", b"\x03\x04root"),
    "a country of four letters": (b"\x06\x03U\x04\x03", b"\x06\x03U\x04\x06"),
}


@pytest.mark.parametrize("odd", ODD_CERTIFICATES)
def test_certificates_that_the_library_refuses(lab: Lab, odd: str) -> None:
    """Found by a fuzzer: `cryptography` raises something else, or warns, for each of them."""
    old, new = ODD_CERTIFICATES[odd]
    assert old in lab.root.der
    changed = lab.root.der.replace(old, new)
    assert x509.subject(changed)
    assert not x509.is_issued_by(lab.leaf.der, changed)

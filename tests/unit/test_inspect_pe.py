"""Facts about PE files, compared with pefile, LIEF, sbsign and osslsigncode."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import struct
from pathlib import Path

import lief
import oracles
import pefile
import pytest
from foreign import patched
from hypothesis import given, settings
from hypothesis import strategies as st
from makepe import APPLICATION, BOOT_DRIVER, make_pe

from efi_image.config.environment import load
from efi_image.errors import InputError, PeError
from efi_image.formats.pe.authenticode import SignedContent, split_table
from efi_image.formats.pe.headers import read_headers
from efi_image.inspect.pe import PeFacts, pe_facts

SBAT = b"sbat,1,SBAT Version,sbat,1,https://example.org\nzpp,1,zpp,zpp,1,https://example.org\n"
READABLE, DATA = 0x40000040, 0xC0000040


def facts(data: bytes, piece: int = 1 << 20) -> PeFacts:
    return pe_facts((data[i : i + piece] for i in range(0, len(data), piece)), "x.efi")


def test_what_it_is() -> None:
    pe = facts(make_pe(subsystem=BOOT_DRIVER))
    assert (pe.machine, pe.subsystem, pe.bits) == ("x86-64", "UEFI boot-service driver", 64)
    assert [(s.name, s.access) for s in pe.sections] == [(".text", "r-x"), (".reloc", "r--")]
    assert pe.imports == pe.sbat == pe.findings == ()
    assert pe.signatures == ()
    assert facts(make_pe(0x014C)).bits == 32
    strange = facts(make_pe(0x1234, 3, magic=0x20B))
    assert (strange.machine, strange.subsystem) == ("machine 0x1234", "subsystem 3")
    assert "UEFI cannot load it: it is for machine 0x1234, which UEFI does not support" in (
        strange.findings
    )
    assert strange.findings[-1] == "it is not a UEFI program"


def test_sections_that_are_writable_and_executable() -> None:
    data = make_pe()
    at = data.index(b".text\0\0\0") + 36
    pe = facts(patched(data, (at, struct.pack("<I", 0xE0000020))))
    assert pe.sections[0].access == "rwx"
    assert pe.sections[0].findings == ("writable and executable (W^X)",)
    assert pe.sections[1].findings == ()


def test_text_sections() -> None:
    extra = (
        (b".sbat\0\0\0", 0x3000, READABLE, SBAT),
        (b".cmdline", 0x4000, READABLE, b"quiet\n\0"),
    )
    pe = facts(make_pe(extra=extra))
    assert pe.sbat == tuple(SBAT.decode().splitlines())
    assert pe.texts == {".cmdline": "quiet"}


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 511, 5000, 100_001])
@pytest.mark.parametrize("piece", [512, 1 << 20])
def test_checksum_is_that_of_pefile(size: int, piece: int) -> None:
    data = make_pe(text=random.Random(size).randbytes(size)) + b"tail"
    right = pefile.PE(data=data).generate_checksum()
    pe = facts(data, piece)
    assert pe.right_checksum == right
    assert not pe.checksum_right
    at = struct.unpack_from("<I", data, 60)[0] + 24 + 64
    assert facts(patched(data, (at, struct.pack("<I", right)))).checksum_right


def test_digests() -> None:
    data = make_pe(text=random.Random(3).randbytes(5000))
    pe = facts(data)
    assert pe.sha256 == hashlib.sha256(data).hexdigest()
    binary = lief.PE.parse(list(data))
    assert isinstance(binary, lief.PE.Binary)
    expected = bytes(binary.authentihash(lief.PE.ALGORITHMS.SHA_256)).hex()
    assert pe.authenticode_sha256 == expected


def signed_ranges(data: bytes) -> list[tuple[int, int]]:
    header = read_headers(lambda offset, count: data[offset : offset + count])
    return [(first, end) for first, end in SignedContent.ranges(header, len(data)) if first < end]


def test_signed_content_is_the_headers_the_sections_and_the_rest() -> None:
    data = make_pe() + b"rest"
    checksum, directory = 0x58 + 64, 0x58 + 112 + 4 * 8
    assert signed_ranges(data) == [
        (0, checksum), (checksum + 4, directory), (directory + 8, 0x200),
        (0x200, 0x400), (0x400, 0x600), (0x600, 0x604),
    ]  # fmt: skip


def with_gap(data: bytes, at: int, size: int) -> bytes:
    """The program with bytes between two sections that belong to neither."""
    moved = bytearray(data[:at] + b"\xaa" * size + data[at:])
    struct.pack_into("<I", moved, 0x58 + 240 + 40 + 20, at + size)  # of .reloc
    return bytes(moved)


def test_signed_content_with_a_gap_between_sections() -> None:
    """As EDK2: bytes behind as many as were hashed count as the rest. OVMF 2022.11 starts a
    program with a gap if this hash is in db, and not if that of the file front to back is."""
    data = with_gap(make_pe(), 0x400, 0x200)
    assert signed_ranges(data)[-3:] == [(0x200, 0x400), (0x600, 0x800), (0x600, 0x800)]


def test_a_length_that_is_no_multiple_of_8_is_not_padded() -> None:
    """Oracle: OVMF compares the hash of an unsigned file without padding; signers pad first."""
    data = make_pe() + b"abc"
    ranges = signed_ranges(data)
    digest = hashlib.sha256(b"".join(data[first:end] for first, end in ranges)).hexdigest()
    assert facts(data).authenticode_sha256 == digest
    assert ranges[-1] == (0x600, 0x603)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("key")
    oracles.run(
        "openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        "-subj", "/CN=zpp test/", "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
    )  # fmt: skip
    return folder


def sign(tool: str, key: Path, data: bytes, folder: Path) -> bytes:
    source, target = folder / "unsigned.efi", folder / f"{tool}.efi"
    source.write_bytes(data)
    certificate, private = key / "cert.pem", key / "key.pem"
    if tool == "sbsign":
        oracles.run(tool, "--key", private, "--cert", certificate, "--output", target, source)
    else:
        oracles.run(tool, "sign", "-h", "sha256", "-certs", certificate, "-key", private,
                    "-in", source, "-out", target)  # fmt: skip
    return target.read_bytes()


@pytest.mark.parametrize("size", [512, 4099])
@pytest.mark.parametrize("tool", ["sbsign", "osslsigncode"])
def test_signatures(tmp_path: Path, key: Path, tool: str, size: int) -> None:
    unsigned = make_pe(text=random.Random(size).randbytes(size)) + bytes(size % 8)
    signed = sign(tool, key, unsigned, tmp_path)
    pe = facts(signed)
    (signature,) = pe.signatures
    assert (signature.signer, signature.issuer) == ("CN=zpp test", "CN=zpp test")
    assert signature.algorithm == "sha256"
    assert signature.matches
    assert signature.intact
    padded = unsigned + bytes(-len(unsigned) % 8)  # signers do that first
    assert signature.digest == pe.authenticode_sha256 == facts(padded).authenticode_sha256
    shown = oracles.run("osslsigncode", "verify", "-in", tmp_path / f"{tool}.efi", check=False)
    told = re.search(r"Calculated message digest\s*: ([0-9A-F]{64})", shown)
    assert told
    assert told[1].lower() == pe.authenticode_sha256
    verdict = oracles.run("sbverify", "--cert", key / "cert.pem", tmp_path / f"{tool}.efi")
    assert "Signature verification OK" in verdict


def test_a_signature_of_another_file(tmp_path: Path, key: Path) -> None:
    signed = sign("sbsign", key, make_pe(text=b"\xc3" * 600), tmp_path)
    (signature,) = facts(patched(signed, (0x210, b"\x90"))).signatures
    assert signature.intact
    assert not signature.matches


def test_two_signatures(tmp_path: Path, key: Path) -> None:
    once = sign("sbsign", key, make_pe(), tmp_path)
    twice = sign("sbsign", key, once, tmp_path)
    assert [s.matches for s in facts(twice).signatures] == [True, True]


def test_signatures_that_make_no_sense() -> None:
    base = make_pe()
    table = struct.pack("<IHH", 24, 0x200, 2) + bytes(16) + struct.pack("<IHH", 8, 0x200, 0xEF1)
    (first, second) = facts(make_pe(security=(len(base), len(table))) + table).signatures
    assert first.fault == "cannot be parsed"
    assert second.fault == "has type 0x0ef1, which is not PKCS #7"
    (only,) = facts(make_pe(security=(len(base), 16)) + bytes(16)).signatures
    assert only.fault == "the certificate table is malformed"
    cut = facts(make_pe(security=(len(base), 1000)) + table)
    assert "its certificate table ends beyond the end of the file" in cut.findings
    assert split_table(struct.pack("<IHH", 8, 0, 2) * 1000)[16:] == []


@pytest.mark.slow
def test_linux_distributions_kernel() -> None:
    """Debian's, which the small Linux guest has; `make linux-guest` puts it there."""
    pe = facts((load().build_directory / "linux-guest/vmlinuz").read_bytes())
    assert pe.subsystem == "UEFI application"
    assert pe.signatures
    assert all(signature.matches for signature in pe.signatures)


@pytest.mark.parametrize("data", [b"", b"MZ", b"MZ" + bytes(62), make_pe()[:0x80], bytes(1000)])
def test_not_a_pe_file(data: bytes) -> None:
    with pytest.raises(PeError, match="is not a PE file"):
        facts(data)


BASE = make_pe(APPLICATION, extra=((b".sbat\0\0\0", 0x3000, DATA, SBAT),))
CHANGES = st.lists(
    st.tuples(st.integers(0, 0x200), st.binary(min_size=1, max_size=4)), min_size=1, max_size=10
)


@pytest.mark.slow
@given(changes=CHANGES)
@settings(max_examples=80, deadline=None)
def test_damaged_files_never_crash(changes: list[tuple[int, bytes]]) -> None:
    with contextlib.suppress(InputError):
        facts(patched(BASE, *changes))


@given(data=st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_damaged_certificate_tables_never_crash(data: bytes) -> None:
    table = struct.pack("<IHH", 8 + len(data), 0x200, 2) + data
    facts(make_pe(security=(len(make_pe()), len(table))) + table)

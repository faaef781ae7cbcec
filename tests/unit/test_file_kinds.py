"""Files that were given by mistake are named, and files that Linux takes as an initrd are taken."""

from __future__ import annotations

import gzip
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from foreign import MIB, mkfs
from initrds import CPIO, INITRDS, NO_INITRDS, lz4
from makepe import make_pe
from oracles import run

import efi_image
from efi_image.cli.main import main
from efi_image.errors import ExitCode, UnsafeTarget
from efi_image.formats.disk import open_disk
from efi_image.formats.file_kind import FileKind, kind_of
from efi_image.formats.initrd import initrd_fault
from efi_image.io.source import BytesSource

Capture = pytest.CaptureFixture[str]
Make = Callable[[Path], Path]


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "given"
    path.write_bytes(data)
    return path


def _kernel(folder: Path) -> Path:
    """As a bzImage begins: with a PE header, the signature of a boot sector, and HdrS."""
    data = bytearray(make_pe().ljust(MIB, b"\xaa"))
    data[0x1FE:0x200], data[0x202:0x206] = b"\x55\xaa", b"HdrS"
    return _file(folder, bytes(data))


def _debian(folder: Path) -> Path:
    control = folder / "package/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: k\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: k\n"
    )
    run("dpkg-deb", "--build", folder / "package", folder / "given")
    return folder / "given"


def _tar(folder: Path) -> Path:
    with tarfile.open(folder / "given", "w") as archive:
        archive.addfile(tarfile.TarInfo("vmlinuz"))
    return folder / "given"


SYMBOLS = "".join(f"{0xFFFFFFFF81000000 + 16 * n:016x} T symbol_{n}\n" for n in range(200))

# a member joins in one line: how it is made, and what messages call it
GIVEN: dict[FileKind, Make] = {
    FileKind.KERNEL: _kernel,
    FileKind.PROGRAM: lambda folder: _file(folder, make_pe(text=os.urandom(4000))),
    FileKind.CPIO: lambda folder: _file(folder, CPIO * 100),
    FileKind.SYMBOLS: lambda folder: _file(folder, SYMBOLS.encode()),
    FileKind.DEBIAN: _debian,
    FileKind.RPM: lambda folder: _file(folder, b"\xed\xab\xee\xdb\3\0".ljust(4096, b"\1")),
    FileKind.ELF: lambda folder: _file(folder, Path("/bin/true").read_bytes()),
    FileKind.TAR: _tar,
    FileKind.SEVEN_ZIP: lambda f: _file(f, b"7z\xbc\xaf\x27\x1c\0\4".ljust(4096, b"\1")),
    FileKind.RAR: lambda folder: _file(folder, b"Rar!\x1a\7\1\0".ljust(4096, b"\1")),
    FileKind.PDF: lambda folder: _file(folder, b"%PDF-1.7\n".ljust(4096, b"\1")),
    FileKind.SIGNATURE: lambda f: _file(f, b"-----BEGIN PGP SIGNATURE-----\n\nab\n"),
    FileKind.HTML: lambda folder: _file(folder, b"\n<!DOCTYPE html><title>404</title>\n" * 9),
    FileKind.TEXT: lambda folder: _file(folder, "größer\n".encode() * 999),
}


@pytest.mark.parametrize("kind", FileKind)
def test_what_is_no_image_is_named(kind: FileKind, tmp_path: Path, capsys: Capture) -> None:
    given, target = GIVEN[kind](tmp_path), tmp_path / "target"
    wanted = f"zpp-image: {given}: is {kind.value}, not a disk image"
    for line in (["write", given, target], ["run", given]):
        assert main([str(word) for word in line]) == ExitCode.INPUT
        error = capsys.readouterr().err
        assert error.startswith(wanted)
        assert len(error.splitlines()) == 1
        has_hint = f"zpp-image make --{'kernel' if kind is FileKind.KERNEL else 'hypervisor'}"
        assert (has_hint in error) is (kind in {FileKind.KERNEL, FileKind.PROGRAM})
    assert not target.exists()
    assert main(["ls", str(given)]) == ExitCode.INPUT
    assert f"it is {kind.value}" in capsys.readouterr().err
    assert main(["verify", str(given)]) == ExitCode.VERDICT
    assert f"nor a FAT volume: it is {kind.value}\n" in capsys.readouterr().out


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstandard.compress])
def test_a_packed_initrd_is_not_a_packed_image(
    pack: Callable[[bytes], bytes], tmp_path: Path, capsys: Capture
) -> None:
    given = tmp_path / "initrd"
    given.write_bytes(pack(CPIO * 3000))
    for line in (["write", given, tmp_path / "new"], ["run", given]):
        assert main([str(word) for word in line]) == ExitCode.INPUT
        assert f"{given}: is {FileKind.CPIO.value}, not a disk image" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", [k for k in FileKind if k is not FileKind.PROGRAM])
def test_what_is_no_kernel_is_named(
    kind: FileKind, tmp_path: Path, build_dir: Path, capsys: Capture
) -> None:
    given, image = GIVEN[kind](tmp_path), str(tmp_path / "x.img")
    words = ["make", image, "--build-dir", str(build_dir), "--kernel", str(given)]
    if kind is FileKind.KERNEL:
        assert main(words) == 0
        return
    assert main(words) == ExitCode.INPUT
    error = capsys.readouterr().err
    assert f"{given}: is {kind.value}, not an EFI program" in error
    assert ("dpkg -x" in error) is (kind is FileKind.DEBIAN)
    assert main(["make", image, "--hypervisor", "none", "--boot", str(given)]) == ExitCode.INPUT
    assert f"{given}: is {kind.value}, not an EFI program" in capsys.readouterr().err


def test_a_packed_kernel_is_named(tmp_path: Path, build_dir: Path, capsys: Capture) -> None:
    given = _file(tmp_path, gzip.compress(make_pe()))
    words = ["make", str(tmp_path / "x.img"), "--build-dir", str(build_dir)]
    assert main([*words, "--kernel", str(given)]) == ExitCode.INPUT
    assert f"{given}: is compressed (gzip); decompress it" in capsys.readouterr().err


def test_images_have_no_kind(tmp_path: Path, divided: Path) -> None:
    for image in (divided, mkfs(tmp_path / "fat.img", 3 * MIB)):
        with open_disk(image) as disk:
            assert kind_of(disk.medium.peek) is None
            disk.require_known()


# ---- initrds


def _fault(data: bytes) -> tuple[str, str]:
    return initrd_fault(BytesSource("initrd", data).read_at, len(data))


@pytest.mark.parametrize("name", INITRDS)
def test_initrds_that_linux_takes(name: str) -> None:
    assert _fault(INITRDS[name]) == ("", "")


@pytest.mark.parametrize("name", NO_INITRDS)
def test_initrds_that_linux_cannot_take(
    name: str, tmp_path: Path, build_dir: Path, capsys: Capture
) -> None:
    data, message = NO_INITRDS[name]
    given = _file(tmp_path, data)
    words = ["make", str(tmp_path / "x.img"), "--build-dir", str(build_dir)]
    kernel = str(build_dir / "ZppBoot.efi")
    assert main([*words, "--kernel", kernel, "--initrd", str(given)]) == ExitCode.INPUT
    assert f"zpp-image: {given}: {message}" in capsys.readouterr().err
    assert not (tmp_path / "x.img").exists()


def test_lz4_has_to_be_its_old_form() -> None:
    old, new = lz4(CPIO, "-l"), lz4(CPIO)
    assert _fault(old) == ("", "")
    what, hint = _fault(new)
    assert (what, hint) == (
        "has LZ4's new frame format, which Linux cannot read", "compress it with `lz4 -l`"
    )  # fmt: skip


# ---- regular files as targets


@pytest.mark.parametrize("packed", [False, True])
def test_a_target_that_is_too_small_says_how_large_the_image_is(
    packed: bool, tmp_path: Path, build_dir: Path, capsys: Capture
) -> None:
    image, stick = tmp_path / ("x.img.gz" if packed else "x.img"), tmp_path / "stick"
    assert main(["make", str(image), "--build-dir", str(build_dir), "--size", "8M"]) == 0
    stick.touch()
    capsys.readouterr()
    assert main(["write", str(image), str(stick)]) == ExitCode.DOES_NOT_FIT
    needs = "131072 are needed at least" if packed else f"the image has {8 * MIB}"
    hint = f"remove it, or give it the size of the medium: `truncate -s SIZE {stick}`"
    assert capsys.readouterr().err == f"zpp-image: {stick}: has 0 bytes, but {needs}; {hint}\n"
    assert stick.stat().st_size == 0


def test_a_new_target_needs_its_directory(tmp_path: Path, build_dir: Path, capsys: Capture) -> None:
    image = tmp_path / "x.img"
    assert main(["make", str(image), "--build-dir", str(build_dir), "--size", "8M"]) == 0
    assert main(["write", str(image), str(tmp_path / "none/stick")]) == ExitCode.OUTPUT
    assert "none/stick: its directory does not exist" in capsys.readouterr().err


def test_a_link_to_a_new_target_stays_when_the_write_fails(tmp_path: Path) -> None:
    image, link = tmp_path / "x.img", tmp_path / "link"
    image.write_bytes(os.urandom(4 * MIB))  # unknown: the write ends with its first piece
    link.symlink_to("stick")
    assert main(["write", str(image), str(link)]) == ExitCode.INPUT
    assert link.is_symlink()
    assert not (tmp_path / "stick").exists()


def test_the_library_asks_for_force_as_the_command_does(tmp_path: Path, build_dir: Path) -> None:
    image, stick = tmp_path / "x.img", tmp_path / "stick"
    assert main(["make", str(image), "--build-dir", str(build_dir), "--size", "8M"]) == 0
    stick.write_bytes(b"data".ljust(16 * MIB, b"\1"))
    with pytest.raises(UnsafeTarget, match=r"exists already and has data .*force=True"):
        efi_image.write(image, stick)
    assert stick.read_bytes()[:5] == b"data\1"
    assert efi_image.write(image, stick, force=True).verified > 0
    text = _file(tmp_path, b"text" * 99999)
    assert efi_image.write(text, stick, force=True, raw_bytes=True).written > 0

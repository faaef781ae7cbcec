"""Packed images and virtual machines' formats, as gzip, xz, zstd and qemu-img write them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
from pathlib import Path
from typing import Any

import oracles
import pytest
from foreign import MIB, in_memory, mkfs

from efi_image.errors import InputError, MissingError
from efi_image.formats import decompress
from efi_image.formats.detect import open_medium
from efi_image.formats.disk import open_disk
from efi_image.formats.files import find
from efi_image.io.medium import MAX_READ, Medium, open_raw

CONTENT = os.urandom(300_000)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    top.mkdir()
    (top / "FILE.BIN").write_bytes(CONTENT)
    return mkfs(tmp_path / "fat.img", 3 * MIB, source=top)


def check(path: Path) -> None:
    with open_disk(path) as disk:
        volume = disk.volume(disk.pick())
        _, node = find(volume, ("FILE.BIN",))
        assert b"".join(volume.chunks(node)) == CONTENT
        assert disk.medium.size == 3 * MIB


@pytest.mark.parametrize("name", ["qcow2", "vhdx", "vmdk", "vdi", "vpc"])
def test_virtual_machines_formats(tmp_path: Path, image: Path, name: str) -> None:
    target = tmp_path / "x"
    options = ("-o", "force_size") if name == "vpc" else ()
    oracles.run("qemu-img", "convert", "-f", "raw", "-O", name, *options, image, target)
    check(target)


def test_fixed_vhd(tmp_path: Path, image: Path) -> None:
    target = tmp_path / "x.vhd"
    oracles.run("qemu-img", "convert", "-f", "raw", "-O", "vpc",
                "-o", "subformat=fixed,force_size", image, target)  # fmt: skip
    assert target.stat().st_size == 3 * MIB + 512
    check(target)


def _pack(kind: str, data: bytes, folder: Path) -> bytes:
    """What the format's own program, or Python's module, makes of the data."""
    raw, packed = folder / "piece", folder / "packed"
    raw.write_bytes(data)
    programs: dict[str, tuple[str | Path, ...]] = {
        "zst": ("zstd", "-qf", raw, "-o", packed),
        "lz4": ("lz4", "-qf", raw, packed),
        "legacy lz4": ("lz4", "-lqf", raw, packed),
    }
    if kind == "zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(raw, "folder/disk.img")
        return packed.read_bytes()
    if kind in programs:
        program, *arguments = programs[kind]
        oracles.run(str(program), *arguments)
        return packed.read_bytes()
    modules: dict[str, Any] = {"gz": gzip, "xz": lzma, "bz2": bz2}
    made: bytes = modules[kind].compress(data)
    return made


KINDS = ["gz", "xz", "bz2", "zst", "lz4", "legacy lz4", "zip"]
JOINABLE = ["gz", "xz", "bz2", "zst", "lz4"]


@pytest.mark.parametrize("kind", KINDS)
def test_compressed_images(tmp_path: Path, image: Path, kind: str) -> None:
    target = tmp_path / "x"
    target.write_bytes(_pack(kind, image.read_bytes(), tmp_path))
    check(target)


@pytest.mark.parametrize("padding", [0, 4, 100_000])
@pytest.mark.parametrize("kind", JOINABLE)
def test_streams_in_three_parts_with_zeros_behind(
    tmp_path: Path, image: Path, kind: str, padding: int
) -> None:
    data = image.read_bytes()
    pieces = [data[start : start + MIB + 7] for start in range(0, len(data), MIB + 7)]
    packed = b"".join(_pack(kind, piece, tmp_path) for piece in pieces)
    target = tmp_path / "x"
    target.write_bytes(packed + bytes(padding))
    check(target)


@pytest.mark.parametrize("size", [0, 4, 600, 100_000])
@pytest.mark.parametrize("kind", ["zst", "lz4"])
def test_skippable_frames(tmp_path: Path, image: Path, kind: str, size: int) -> None:
    """RFC 8878, 3.1.2: they may come first, as from pzstd, in between and last."""
    frame = b"\x5a\x2a\x4d\x18" + size.to_bytes(4, "little") + b"s" * size
    target = tmp_path / "x"
    target.write_bytes(frame * 2 + _pack(kind, image.read_bytes(), tmp_path) + frame)
    check(target)


def test_a_zip_archive_of_several_files(tmp_path: Path) -> None:
    target = tmp_path / "x.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("one.img", bytes(512))
        archive.writestr("two.img", bytes(512))
    with pytest.raises(InputError, match="ZIP archive of 2 files"), open_medium(target):
        pass


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_streams(tmp_path: Path, image: Path, kind: str, damage: str) -> None:
    if (kind, damage) == ("legacy lz4", "changed"):
        kind = "lz4"  # the legacy frame has no checksum
    packed = _pack(kind, image.read_bytes(), tmp_path)
    half = len(packed) // 2
    bad = packed[:half] if damage == "cut" else packed[:half] + bytes(64) + packed[half + 64 :]
    target = tmp_path / "x"
    target.write_bytes(bad)
    with pytest.raises(InputError, match="cannot be decompressed"), open_medium(target):
        pass


def test_a_stream_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompress, "MAX_DECOMPRESSED", 10 * MIB)
    target = tmp_path / "x.gz"
    target.write_bytes(gzip.compress(bytes(11 * MIB)))
    with pytest.raises(InputError, match="decompresses to more than 10485760"), open_medium(target):
        pass


def test_an_xz_stream_that_wants_much_memory(tmp_path: Path) -> None:
    target = tmp_path / "x.xz"
    packer = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    small = packer.compress(bytes(100)) + packer.flush()
    # the dictionary's size is a byte of the block header, which has a checksum of its own
    target.write_bytes(_with_dictionary(small))
    reason = "cannot be decompressed: Memory usage limit"
    with pytest.raises(InputError, match=reason), open_medium(target):
        pass


def _with_dictionary(stream: bytes) -> bytes:
    import zlib  # noqa: PLC0415

    size = (stream[12] + 1) * 4
    header = bytearray(stream[12 : 12 + size - 4])
    assert header[2:4] == b"\x21\x01"
    header[4] = 36  # 1 GiB
    block = bytes(header) + zlib.crc32(header).to_bytes(4, "little")
    return stream[:12] + block + stream[12 + size :]


@pytest.mark.parametrize("kind", ["qcow2", "vmdk"])
def test_other_files_are_not_followed(tmp_path: Path, image: Path, kind: str) -> None:
    """A foreign image must not bring in this machine's files."""
    secret = tmp_path / "secret"
    oracles.run("qemu-img", "convert", "-f", "raw", "-O", kind, image, secret)
    target = tmp_path / "x"
    oracles.run("qemu-img", "create", "-f", kind, "-b", secret, "-F", kind, target)
    with pytest.raises(InputError, match="takes its data from another file"):
        check(target)


def test_external_data_is_not_followed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    target = tmp_path / "x"
    oracles.run("qemu-img", "create", "-f", "qcow2", "-o", f"data_file={data},data_file_raw=on",
                target, "3M")  # fmt: skip
    with pytest.raises(InputError, match="another file"), open_medium(target):
        pass


def test_a_damaged_container(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(504))
    with pytest.raises(InputError, match="qemu-img cannot read it"), open_medium(target):
        pass


def test_missing_programs_are_named(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "x"
    oracles.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, target)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MissingError, match="qemu-img is needed to read it; `apt-get install qemu-utils`"
    ):
        check(target)


def test_nothing_is_left_behind(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    target = tmp_path / "x"
    oracles.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, target)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    check(target)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "device"])
def test_what_is_no_image(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/null")
    expected = {"missing": "does not exist", "directory": "is a directory"}
    with pytest.raises(InputError, match=expected.get(kind, "neither a file nor")), open_raw(path):
        pass


def test_a_medium_ends_where_it_ends() -> None:
    with in_memory(bytes(range(100))) as medium:
        view = medium.view(10, 20)
        assert view.read(5, 15) == bytes(range(15, 30))
        assert view.peek(15, 100) == bytes(range(25, 30))
        assert view.peek(1 << 70, 1) == b""
        for offset, size in ((6, 15), (-1, 2), (0, 21), (1 << 70, 1), (0, MAX_READ + 1), (0, -1)):
            with pytest.raises(InputError):
                view.read(offset, size)
        with pytest.raises(InputError):
            view.view(10, 11)
        with pytest.raises(InputError):
            next(view.chunks(0, 21))


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(100))
    with open_raw(path) as medium:
        assert isinstance(medium, Medium)
        path.write_bytes(bytes(50))
        with pytest.raises(InputError, match="became shorter"):
            medium.read(0, 100)

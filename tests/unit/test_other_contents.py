"""What is neither FAT nor ISO 9660 is named, wherever it stands, and never called a broken FAT."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles import run

from efi_image.cli.main import main

MIB = 1 << 20
SIZE = 8 * MIB

Maker = Callable[[Path], None]


def signed(*parts: tuple[int, bytes]) -> Maker:
    """These bytes at their places, as the format's documentation says, and junk around them."""

    def make(path: Path) -> None:
        data = bytearray(b"\xa5" * 0x11000).ljust(SIZE, b"\0")
        for offset, text in parts:
            data[offset : offset + len(text)] = text
        path.write_bytes(data)

    return make


def made(tool: str, *options: str, otherwise: Maker | None = None) -> Maker:
    """By the format's own program; else, where it is not installed, as `otherwise` does."""

    def make(path: Path) -> None:
        found = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if found is None and otherwise:
            otherwise(path)
            return
        path.write_bytes(bytes(SIZE))
        run(tool, *options, path)

    return make


BOOT = (510, b"\x55\xaa")  # behind boot code, which looks like a partition table
NTFS = signed((0, b"\xeb\x52\x90NTFS    "), BOOT)  # NTFS.com, "NTFS Partition Boot Sector"
EXFAT = signed((0, b"\xeb\x76\x90EXFAT   " + bytes(53)), BOOT)  # Microsoft, exFAT, 3.1

# text of the messages → how to make the content; a new member is one line
CONTENTS: dict[str, Maker] = {
    "contains NTFS": made("mkntfs", "-F", "-q", otherwise=NTFS),
    "contains exFAT": made("mkfs.exfat", otherwise=EXFAT),
    "contains ReFS": signed((0, b"\0\0\0ReFS\0\0\0\0"), BOOT),
    "contains BitLocker": signed((0, b"\xeb\x58\x90-FVE-FS-"), BOOT),
    "contains ext2, ext3 or ext4": made("mkfs.ext4", "-q", "-F"),
    "contains Linux swap": made("mkswap"),
    "contains Btrfs": signed((0x10040, b"_BHRfS_M")),  # btrfs(5), the superblock
    "contains XFS": signed((0, b"XFSB")),  # XFS Algorithms & Data Structures, the superblock
    "contains LUKS": signed((0, b"LUKS\xba\xbe\0\2")),  # LUKS2 On-Disk Format, 2.1
    "contains LVM": signed((512, b"LABELONE"), (536, b"LVM2 001")),  # lvm2, the label
    "contains F2FS": signed((1024, b"\x10\x20\xf5\xf2")),  # Linux, f2fs.rst
    "contains EROFS": signed((1024, b"\xe2\xe1\xf5\xe0")),  # Linux, erofs.rst
    "contains SquashFS": signed((0, b"hsqs")),  # Linux, squashfs.rst
    "contains APFS": signed((32, b"NXSB")),  # Apple File System Reference, nx_superblock_t
    "contains UDF": signed(*((0x8001 + n * 2048, t) for n, t in enumerate((b"BEA01", b"NSR02")))),
    "is blank": made("true"),
}


def whole(content: Path, _folder: Path) -> Path:
    return content


def on_esp(script: str) -> Callable[[Path, Path], Path]:
    """The content as an EFI system partition, in a table by sfdisk."""

    def make(content: Path, folder: Path) -> Path:
        image, lines = folder / "disk.img", folder / "script"
        image.write_bytes(bytes(MIB) + content.read_bytes() + bytes(MIB))
        lines.write_text(script)
        run("sh", "-c", f"sfdisk --quiet --wipe never {image} <{lines}")
        return image

    return make


PLACES = {
    "whole": whole,
    "GPT": on_esp("label: gpt\nstart=1MiB, size=8MiB, type=uefi\n"),
    "MBR": on_esp("label: dos\nstart=1MiB, size=8MiB, type=ef\n"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CONTENTS)
def test_it_is_named(
    name: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tmp_path / "content"
    CONTENTS[name](content)
    image = PLACES[place](content, tmp_path)
    (tmp_path / "new").write_text("new")
    before = image.read_bytes()
    out, file, selected = str(tmp_path / "out"), str(tmp_path / "new"), f"{image}:1"
    images = [str(image)] if place == "whole" else [str(image), selected]
    for each in images:
        for words in (
            ["ls", each], ["cat", each, "/a"], ["extract", each, "--to", out],
            ["cp", file, f"{each}:/"], ["rm", each, "/a"],
        ):  # fmt: skip
            assert main(words) == 3
            message = capsys.readouterr().err
            assert name in message
            assert "is not a FAT volume: it" not in message
    assert main(["inspect", str(image)]) == 0
    shown = "zeros" if name == "is blank" else name.removeprefix("contains ")
    assert f"content            {shown}" in capsys.readouterr().out
    assert main(["verify", str(image)]) == 1
    report = capsys.readouterr().out
    assert name in report
    assert "1 error" in report
    assert "ZPP-D101" in report if place == "whole" else "ZPP-F132" in report
    assert image.read_bytes() == before


def test_both_partitions_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = tmp_path / "content"
    made("mkfs.ext4", "-q", "-F")(content)
    script = "label: gpt\nstart=1MiB, size=8MiB, type=linux\nstart=9MiB, type=linux\n"
    image = on_esp(script)(content, tmp_path)
    assert main(["ls", str(image)]) == 3
    message = capsys.readouterr().err
    assert "partition 1 contains ext2, ext3 or ext4, partition 2 is blank" in message
    assert main(["verify", str(image)]) == 1
    assert "partition 1 contains ext2, ext3 or ext4" in capsys.readouterr().out


def test_no_other_partition_stands_in_for_the_esp(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, volume = tmp_path / "content", tmp_path / "fat.img"
    EXFAT(content)
    run("mkfs.fat", "-C", volume, "8192")
    script = "label: gpt\nstart=1MiB, size=8MiB, type=uefi\nstart=9MiB, size=8MiB, type=linux\n"
    content.write_bytes(content.read_bytes() + volume.read_bytes())
    image = on_esp(script)(content, tmp_path)
    for words in (["ls", str(image)], ["mkdir", str(image), "/a"]):
        assert main(words) == 3
        message = capsys.readouterr().err
        assert "partition 1 contains exFAT" in message
        assert f"name another one: {image}:2" in message
    assert main(["ls", f"{image}:2"]) == 0


# ---- UDF beside ISO 9660


@pytest.fixture
def bridge(tmp_path: Path) -> Path:
    """Like Windows' installation media: ISO 9660 has a text, the files are in UDF."""
    top = tmp_path / "top"
    (top / "sources").mkdir(parents=True)
    (top / "sources" / "install.wim").write_text("big")
    (top / "readme.txt").write_text("This disc contains a UDF file system")
    return _bridge(top, tmp_path / "udf.iso")


def _bridge(top: Path, image: Path) -> Path:
    run("genisoimage", "-quiet", "-udf", "-hide", "sources", "-o", image, top)
    return image


def test_udf_beside_iso_9660_is_named(
    bridge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "it also has UDF, which zpp-image does not read"
    assert main(["ls", str(bridge)]) == 0
    listing = capsys.readouterr()
    assert "README.TXT" in listing.out
    assert said in listing.err
    assert main(["cat", str(bridge), "/sources/install.wim"]) == 3
    assert said in capsys.readouterr().err
    assert main(["extract", str(bridge), "--to", str(tmp_path / "out")]) == 0
    assert said in capsys.readouterr().err
    assert main(["inspect", str(bridge)]) == 0
    assert said in capsys.readouterr().out


def test_files_in_udf_alone_are_compared(
    bridge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.iso"
    copy.write_bytes(bridge.read_bytes() + bytes(MIB))  # as on a larger medium
    assert main(["diff", str(bridge), str(copy)]) == 1
    assert "content" not in capsys.readouterr().out
    wim = bridge.read_bytes().index(b"big")
    with copy.open("r+b") as file:
        file.seek(wim)
        file.write(b"BIG")
    assert main(["diff", str(bridge), str(copy)]) == 1
    assert "~ partition iso: content" in capsys.readouterr().out
    assert main(["verify", str(bridge), str(copy)]) == 1
    said = capsys.readouterr().out
    assert "its content differs" in said
    assert "it contains ISO 9660" in said  # where verify wants FAT


def test_an_iso_without_udf_has_no_such_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "file").write_text("text")
    image = tmp_path / "plain.iso"
    run("genisoimage", "-quiet", "-R", "-J", "-o", image, tmp_path / "top")
    assert main(["ls", str(image)]) == 0
    assert capsys.readouterr().err == ""

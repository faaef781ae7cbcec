"""`inspect` of images and PE files; and what all readers say about files that are not images."""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import oracles
import pytest
from foreign import MIB, mkfs, patched, sources
from makepe import make_pe

from efi_image.cli.main import main
from efi_image.formats.disk import open_disk
from efi_image.inspect.image import image_facts

Capture = pytest.CaptureFixture[str]


def make(image: Path, build_dir: Path, *options: str) -> Path:
    assert main(["make", str(image), "--build-dir", str(build_dir), *options]) == 0
    return image


def test_inspect_own_image(tmp_path: Path, build_dir: Path, capsys: Capture) -> None:
    image = make(tmp_path / "esp.img", build_dir)
    capsys.readouterr()
    assert main(["inspect", str(image)]) == 0
    out = capsys.readouterr().out
    for line in (
        "64.0 MiB, GPT, sectors of 512 bytes",
        "primary header: valid, at sector 1",
        "backup header: valid, at sector 131071",
        "1: EFI system partition",
        "FAT32 'ZPP'",
        "UEFI boot-service driver, x86-64, unsigned",
    ):
        assert line in out
    assert "!" not in out


def test_inspect_json_is_as_fsck_and_sgdisk_see_it(
    tmp_path: Path, build_dir: Path, capsys: Capture
) -> None:
    image = make(tmp_path / "esp.img", build_dir)
    capsys.readouterr()
    assert main(["inspect", str(image), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    (partition,) = facts["partitions"]
    shown = oracles.run("sgdisk", "-i", "1", image)
    assert f"Partition unique GUID: {partition['guid']}" in shown
    assert f"Disk identifier (GUID): {facts['disk_id']}" in oracles.run("sgdisk", "-p", image)
    volume = partition["volume"]
    report = oracles.check_fat(image, partition["start"], partition["size"])
    used = volume["clusters"] - volume["free"] // volume["cluster_size"]
    assert f"{used}/{volume['clusters']} clusters" in report
    files = {f["path"]: f for f in volume["files"] if f["kind"] == "file"}
    assert files["\\EFI\\BOOT\\BOOTX64.EFI"]["pe"]["subsystem"] == "UEFI application"
    assert files["\\EFI\\zpp\\zpp.conf"]["pe"] is None


def test_inspect_tree(tmp_path: Path, capsys: Capture) -> None:
    image = mkfs(tmp_path / "fat.img", 3 * MIB, source=sources(tmp_path))
    assert main(["inspect", str(image), "--tree"]) == 0
    out = capsys.readouterr().out
    assert "│           └── data.bin  117.2 KiB\n" in out or "└── data.bin  117.2 KiB\n" in out
    assert "! is not a PE file" in out  # BOOTX64.EFI is random bytes here


def test_inspect_tells_of_damage(tmp_path: Path, build_dir: Path, capsys: Capture) -> None:
    image = make(tmp_path / "esp.img", build_dir)
    data = image.read_bytes()
    image.write_bytes(patched(data, (512 + 60, b"\x99"), (510, b"\0\0")))
    capsys.readouterr()
    assert main(["inspect", str(image)]) == 0
    out = capsys.readouterr().out
    assert "primary header: damaged, at sector 1: the checksum of the header is wrong" in out
    assert "protective MBR: missing" in out
    assert "\\EFI\\BOOT\\BOOTX64.EFI" in out


def test_inspect_iso(tmp_path: Path, capsys: Capture) -> None:
    top = sources(tmp_path)
    mkfs(top / "efi.img", MIB)
    image = tmp_path / "x.iso"
    oracles.run("xorriso", "-as", "mkisofs", "-quiet", "-c", "boot.cat", "-e", "efi.img",
                "-no-emul-boot", "-o", image, top)  # fmt: skip
    assert main(["inspect", str(image)]) == 0
    out = capsys.readouterr().out
    assert "ISO 9660 (Rock Ridge)" in out
    assert "El Torito          EFI: block " in out


def test_inspect_a_program(tmp_path: Path, capsys: Capture) -> None:
    program = tmp_path / "x.efi"
    program.write_bytes(make_pe())
    assert main(["inspect", str(program)]) == 0
    out = capsys.readouterr().out
    assert "UEFI application for x86-64" in out
    assert "not set; 0x" in out
    assert main(["inspect", str(program), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["subsystem"] == "UEFI application"
    assert main(["inspect", str(program), "--svg", str(tmp_path / "x.svg")]) == 2


def test_other_volumes_are_named(divided: Path, capsys: Capture) -> None:
    with divided.open("r+b") as file:
        file.seek(9 * MIB + 1080)
        file.write(b"\x53\xef")
    assert main(["inspect", str(divided)]) == 0
    out = capsys.readouterr().out
    assert "content            ext2, ext3 or ext4\n" in out
    assert "content            zeros\n" in out


def test_cryptography_is_imported_for_signatures_only(tmp_path: Path, build_dir: Path) -> None:
    image = make(tmp_path / "esp.img", build_dir)
    code = (
        "import sys\nfrom efi_image.cli.main import main\n"
        "code = main(['inspect', sys.argv[1]])\nsys.exit(code or 'cryptography' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, image], stdout=subprocess.DEVNULL, check=True)


def test_partitions_that_overlap_are_looked_into_twice_at_most(
    tmp_path: Path, capsys: Capture
) -> None:
    volume = mkfs(tmp_path / "fat.img", 2 * MIB, source=sources(tmp_path))
    record = struct.pack("<B3xB3xII", 0, 0x0C, 64, 4096)
    image = tmp_path / "x.img"
    image.write_bytes(
        (bytes(446) + 4 * record + b"\x55\xaa").ljust(64 * 512, b"\0") + volume.read_bytes()
    )
    assert main(["inspect", str(image), "--json"]) == 0
    partitions = json.loads(capsys.readouterr().out)["partitions"]
    assert [bool(p["volume"]) for p in partitions] == [True, True, False, False]
    assert partitions[3]["fault"] == "was not read, because it overlaps others"


def test_inspect_a_program_on_an_image(tmp_path: Path, build_dir: Path, capsys: Capture) -> None:
    image = make(tmp_path / "esp.img", build_dir)
    capsys.readouterr()
    assert main(["inspect", str(build_dir / "ZppBoot.efi"), "--json"]) == 0
    alone = capsys.readouterr().out
    assert main(["inspect", f"{image}:esp", "/efi/boot/bootx64.efi", "--json"]) == 0
    assert capsys.readouterr().out == alone
    assert main(["inspect", str(image), "/EFI/zpp/zpp.conf"]) == 3
    assert main(["inspect", f"{image}:1"]) == 2
    assert main(["inspect", str(image), "/EFI"]) == 3
    assert "is a directory, not a file" in capsys.readouterr().err


def test_inspect_of_unknown_bytes(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "x"
    path.write_bytes(os.urandom(5000))
    assert main(["inspect", str(path)]) == 0
    line = f"{path}: 4.9 KiB, no known partition table or volume\n"
    assert capsys.readouterr().out.startswith(line)
    path.write_bytes(bytes(1080) + b"\x53\xef" + bytes(4000))
    assert main(["inspect", str(path)]) == 0
    assert "content            ext2, ext3 or ext4\n" in capsys.readouterr().out


READERS = (["inspect", "X"], ["ls", "X"], ["cat", "X", "/a"], ["verify", "X"], ["extract", "X"],
           ["diff", "X", "X"], ["verify", "X", "--fix"])  # fmt: skip


@pytest.mark.parametrize("words", READERS, ids=" ".join)
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("empty", "is empty"),
        ("packed", "is empty"),
        ("missing", "does not exist"),
        ("directory", "is a directory"),
        ("fifo", "is neither a file nor a block device"),
        ("locked", "cannot be read: Permission denied"),
    ],
)
def test_no_image_at_all_is_said_in_one_line(
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    kind: str,
    fault: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(kind)
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind != "missing":
        path.write_bytes(gzip.compress(b"") if kind == "packed" else b"x" * (kind == "locked"))
    arguments = [kind if word == "X" else word for word in words]
    main(arguments)  # what has to be imported is
    capsys.readouterr()
    with without_rights(path) if kind == "locked" else nullcontext():
        assert main(arguments) == 3
    assert capsys.readouterr() == ("", f"zpp-image: {path}: {fault}\n")


@contextmanager
def without_rights(path: Path) -> Iterator[None]:
    """Nobody may read the file; as root, who may all the same, we are nobody for the time."""
    path.chmod(0)
    user = os.geteuid()
    Path.cwd().chmod(0o711)
    if not user:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_progress_of_inspect_is_told_of_all_files(tmp_path: Path) -> None:
    image = mkfs(tmp_path / "x.img", 3 * MIB, source=sources(tmp_path))
    counts: list[tuple[int, int]] = []
    with open_disk(image) as disk:
        facts = image_facts(disk, progress=lambda *count: counts.append(count))
        volume = facts.partitions[0].volume
        assert volume is not None
        for way in (volume.files, volume.files.outlines(), volume.files.tree()):
            counts.clear()
            number = len(list(way))
            assert len(counts) == number > 10
            assert counts == sorted(counts)
            total = 3 * MIB - volume.free
            assert total / 2 < counts[-1][0] <= counts[-1][1] < total

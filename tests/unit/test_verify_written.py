"""`zpp-image verify IMAGE DEVICE`: a stick compared with the image that it was written from.

The changes are made by mtools, which stands for the systems that a stick is plugged into.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import oracles
import pytest
from foreign import MIB, mkfs, sources
from gptdamage import Disk as GptDisk
from loops import Attach, attach
from test_inspect import make

import efi_image
from efi_image.cli.main import main
from efi_image.errors import ExitCode

__all__ = ["attach"]

Capture = pytest.CaptureFixture[str]
ESP = MIB  # byte at which the ESP begins
LARGER = "size: 67108864 → 100663296; the medium is larger than the image"
MOVED = (
    "table: backup header: valid, at sector 131071 → backup header: valid, at sector 196607; "
    "`write` puts the backup at the end of a larger medium"
)


@pytest.fixture
def image(tmp_path: Path, build_dir: Path, capsys: Capture) -> Path:
    return make(tmp_path / "esp.img", build_dir)


@pytest.fixture
def stick(image: Path, capsys: Capture) -> Path:
    """The image, written to a larger stick."""
    stick = image.with_name("stick")
    stick.touch()
    os.truncate(stick, 96 * MIB)
    assert main(["write", str(image), str(stick)]) == 0
    capsys.readouterr()
    return stick


def compare(image: Path, device: Path | str, capsys: Capture) -> tuple[int, set[tuple[str, ...]]]:
    """The exit code; code, part, path and reason of each finding."""
    code = main(["verify", str(image), str(device), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["image"] == str(device)
    assert document["written_from"] == str(image)
    keys = ("code", "part", "path", "reason")
    return code, {tuple(row[key] for key in keys) for row in document["findings"]}


def on_esp(stick: Path) -> str:
    return f"{stick}@@{ESP}"


def windows(stick: Path) -> None:
    oracles.run("mmd", "-i", on_esp(stick), "::/System Volume Information")
    file = stick.with_name("IndexerVolumeGuid")
    file.write_text("{}")
    oracles.run("mcopy", "-i", on_esp(stick), file, "::/System Volume Information/")


def added(name: str) -> Callable[[Path], None]:
    def add(stick: Path) -> None:
        file = stick.with_name("added")
        file.write_text("text")
        oracles.run("mcopy", "-i", on_esp(stick), file, f"::/{name}")

    return add


def mark_mounted(stick: Path) -> None:
    with stick.open("r+b") as file:
        file.seek(ESP + 0x41)
        file.write(b"\1")


def firmware(stick: Path) -> None:
    """OVMF rewrites a missing copy: here it is missing in the image."""
    image = stick.with_name("esp.img")
    disk = GptDisk(bytearray(image.read_bytes()))
    stick.write_bytes(disk.data)
    os.truncate(image, len(disk.data) - 512)
    os.truncate(image, len(disk.data))


def content_of_boot_program(stick: Path) -> None:
    data = bytearray(stick.read_bytes())
    at = next(at for at in range(ESP, len(data), 512) if data[at : at + 2] == b"MZ")
    data[at + 0x300] ^= 1
    stick.write_bytes(data)


def renamed_partition(stick: Path) -> None:
    oracles.run("sgdisk", "-c", "1:other", stick)


def boot_code(stick: Path) -> None:
    with stick.open("r+b") as file:
        file.write(b"\xfa")


def removed(stick: Path) -> None:
    subprocess.run(["mdel", "-i", on_esp(stick), "::/EFI/zpp/zpp.conf"], check=True)


FOLDER = "\\System Volume Information"
MARK = "cleanly unmounted: yes → no; a system sets this mark while the volume is mounted"
NEW = "only the medium has this"
RESTORED = (
    "backup GPT: missing → valid; rewritten from the other copy, as firmware does during a boot"
)

# (change of the stick, part, path, reason) of the notes: the exit code is 0
EXPECTED = [
    (windows, "partition 1", FOLDER, f"{NEW} directory; Windows adds it"),
    (windows, "partition 1", f"{FOLDER}\\IndexerVolumeGuid", f"{NEW} file; Windows adds it"),
    (added(".DS_Store"), "partition 1", "\\.DS_Store", f"{NEW} file; macOS adds it"),
    (added("EFI/._BOOT"), "partition 1", "\\EFI\\._BOOT", f"{NEW} file; macOS adds it"),
    (added(".Trash-1000"), "partition 1", "\\.Trash-1000", f"{NEW} file; a Linux desktop adds it"),
    (added("NvVars"), "partition 1", "\\NvVars",
     f"{NEW} file; OVMF without flash for its variables adds it"),
    (mark_mounted, "partition 1", "", MARK),
    (firmware, "disk", "", RESTORED),
]  # fmt: skip

# the same of the errors: the exit code is 1
FAULTS = [
    (added("other.efi"), "partition 1", "\\other.efi", f"{NEW} file"),
    (added("EFI/NvVars"), "partition 1", "\\EFI\\NvVars", f"{NEW} file"),
    (removed, "partition 1", "\\EFI\\zpp\\zpp.conf", "only the image has this file"),
    (content_of_boot_program, "partition 1", "\\EFI\\BOOT\\BOOTX64.EFI", "its content differs"),
    (renamed_partition, "partition 1", "", "label: EFI system partition → other"),
    (boot_code, "disk", "", "its boot code differs"),
]


def test_a_written_stick_has_the_content_of_its_image(
    image: Path, stick: Path, capsys: Capture
) -> None:
    code, found = compare(image, stick, capsys)
    assert code == 0
    assert found == {("ZPP-W102", "disk", "", LARGER), ("ZPP-W102", "disk", "", MOVED)}
    assert main(["verify", str(image), str(stick)]) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"{stick}: 2 notes; it has the content of {image}\n")
    report = efi_image.verify(image, stick)
    assert report.clean
    assert {finding.rule.code for finding in report.findings} == {"ZPP-W102"}


@pytest.mark.parametrize(("change", "part", "path", "reason"), EXPECTED)
def test_what_systems_change_by_themselves_is_a_note(
    image: Path, stick: Path, capsys: Capture, change: Callable[[Path], None],
    part: str, path: str, reason: str,
) -> None:  # fmt: skip
    change(stick)
    code, found = compare(image, stick, capsys)
    assert ("ZPP-W102", part, path, reason) in found
    assert not {row for row in found if row[0] == "ZPP-W101"}
    assert code == 0


@pytest.mark.parametrize(("change", "part", "path", "reason"), FAULTS)
def test_other_changes_are_errors_with_the_file(
    image: Path, stick: Path, capsys: Capture, change: Callable[[Path], None],
    part: str, path: str, reason: str,
) -> None:  # fmt: skip
    change(stick)
    code, found = compare(image, stick, capsys)
    rows = [row for row in found if row[0] == "ZPP-W101" and row[3].startswith(reason)]
    assert [row[:3] for row in rows] == [("ZPP-W101", part, path)]
    assert code == ExitCode.VERDICT
    assert main(["verify", str(image), str(stick)]) == ExitCode.VERDICT
    assert capsys.readouterr().out.endswith(f"; it differs from {image}\n")


def test_faults_of_the_stick_are_found_as_well(image: Path, stick: Path, capsys: Capture) -> None:
    with stick.open("r+b") as file:
        file.seek(528)
        file.write(bytes(4))  # the CRC of the header
    code, found = compare(image, stick, capsys)
    assert "ZPP-G102" in {row[0] for row in found}
    assert ("ZPP-W101", "disk", "") in {row[:3] for row in found}
    assert code == ExitCode.VERDICT


def test_packed_images_and_volumes_without_a_table(tmp_path: Path, capsys: Capture) -> None:
    volume = mkfs(tmp_path / "fat.img", 3 * MIB, source=sources(tmp_path))
    packed = tmp_path / "fat.img.gz"
    packed.write_bytes(
        subprocess.run(["gzip", "-c", volume], capture_output=True, check=True).stdout
    )
    stick = tmp_path / "stick"
    stick.touch()
    os.truncate(stick, 4 * MIB)
    assert main(["write", str(packed), str(stick)]) == 0
    capsys.readouterr()
    _, found = compare(packed, stick, capsys)
    larger = f"size: {3 * MIB} → {4 * MIB}; the medium is larger than the image"
    assert {row for row in found if row[0].startswith("ZPP-W")} == {
        ("ZPP-W102", "disk", "", larger), ("ZPP-W102", "volume", "", larger)
    }  # fmt: skip


def test_a_device_behind_sectors_of_4096_bytes(
    attach: Attach, tmp_path: Path, build_dir: Path, capsys: Capture
) -> None:
    image = make(tmp_path / "esp.img", build_dir, "--sector-size", "4096", "--size", "64M")
    disk = tmp_path / "disk"
    disk.touch()
    os.truncate(disk, 96 * MIB)
    loop = attach(disk, "--sector-size", "4096")
    capsys.readouterr()
    subprocess.run(["dd", f"if={image}", f"of={loop}", "bs=1M", "status=none"], check=True)
    code, found = compare(image, loop, capsys)
    # dd does not move the backup
    assert {row[0] for row in found} == {"ZPP-G115", "ZPP-M103", "ZPP-W102"}
    assert code == ExitCode.VERDICT


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("IMAGE IMAGE", 2, "esp.img: IMAGE and DEVICE are the same"),
        ("IMAGE LINK", 2, "esp.img: IMAGE and DEVICE are the same"),
        ("TEXT IMAGE", 3, "text: is a text file, not a disk image"),
        ("IMAGE nowhere", 3, "nowhere: does not exist"),
        ("IMAGE TEXT --fix", 2, "--fix: cannot be used with DEVICE"),
        ("IMAGE TEXT --undo", 2, "--undo: cannot be used with DEVICE"),
    ],
)
def test_refused(image: Path, words: str, code: int, message: str, capsys: Capture) -> None:
    (image.with_name("text")).write_text("text\n" * 1000)
    (image.with_name("link")).symlink_to(image)
    names = {"IMAGE": image, "TEXT": image.with_name("text"), "LINK": image.with_name("link")}
    assert main(["verify", *(str(names.get(word, word)) for word in words.split())]) == code
    assert message in capsys.readouterr().err

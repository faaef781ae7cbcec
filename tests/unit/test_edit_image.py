"""Changed image files: which are refused, and the state after a failure or a kill."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from editing import Capture, fails, image, names
from fatdamage import make_fat
from oracles import check_fat, mtools_read, run

from efi_image.cli.main import main
from efi_image.formats.disk import open_disk

__all__ = ["image"]

# ---- images that are not changed


def packed(image: Path, command: str, suffix: str) -> Path:
    made = image.with_name(f"packed.{suffix}")
    run("sh", "-c", f"{command.format(image=image, made=made)}")
    return made


@pytest.mark.parametrize(
    ("suffix", "command", "advice"),
    [
        ("gz", "gzip -c {image} >{made}", "gzip -dk"),
        ("xz", "xz -0 -c {image} >{made}", "xz -dk"),
        ("zst", "zstd -q {image} -o {made}", "zstd -dk"),
        ("qcow2", "qemu-img convert -O qcow2 {image} {made}", "qemu-img convert -O raw"),
        ("vmdk", "qemu-img convert -O vmdk {image} {made}", "qemu-img convert -O raw"),
    ],
)
def test_other_forms_name_the_command_that_converts(
    suffix: str, command: str, advice: str, image: Path, tmp_path: Path, capsys: Capture
) -> None:
    made = packed(image, command, suffix)
    before = made.read_bytes()
    fails(["cp", str(tmp_path / "file"), f"{made}:/"], capsys, f"`{advice} {made}")
    assert made.read_bytes() == before


def test_an_iso_is_refused(tmp_path: Path, capsys: Capture, build_dir: Path) -> None:
    iso = tmp_path / "disk.iso"
    made = ["make", str(iso), "--build-dir", str(build_dir), "--table", "iso"]
    assert main(made) == 0
    fails(["rm", f"{iso}:1", "/EFI/BOOT/BOOTX64.EFI"], capsys, "is an ISO image")


Damage = Callable[[bytearray], None]


def dirty(data: bytearray) -> None:
    data[0x41] |= 1


def fats_differ(data: bytearray) -> None:
    at = 32 * 512 + 4 * 100
    data[at : at + 4] = b"\x77\0\0\0"


def no_signature(data: bytearray) -> None:
    data[510] = 0


def mirroring_off(data: bytearray) -> None:
    data[0x28] = 0x80


@pytest.mark.parametrize(
    ("damage", "code", "fixable"),
    [
        (dirty, "F117", True), (fats_differ, "F203", True), (no_signature, "F101", True),
        (mirroring_off, "F127", False),
    ],
)  # fmt: skip
def test_a_broken_volume_is_refused(
    damage: Damage, code: str, fixable: bool, tmp_path: Path, capsys: Capture
) -> None:
    image = make_fat(tmp_path, 32)
    data = bytearray(image.read_bytes())
    damage(data)
    image.write_bytes(data)
    (tmp_path / "new").write_text("new")
    words = ["cp", str(tmp_path / "new"), f"{image}:/"]
    hint = "repair it first: `zpp-image verify --fix" if fixable else "explains it"
    fails(words, capsys, code)
    fails(words, capsys, hint)
    assert image.read_bytes() == data
    if fixable:
        main(["verify", "--fix", str(image)])
        assert main(words) == 0
        check_fat(image)


# ---- the image file


def test_mode_and_links_stay(image: Path, tmp_path: Path) -> None:
    image.chmod(0o640)
    link = tmp_path / "link.img"
    link.symlink_to(image)
    assert main(["rm", str(link), "/dir/file"]) == 0
    assert link.is_symlink()
    assert image.stat().st_mode & 0o7777 == 0o640
    assert names(image) == set()
    assert image.stat().st_blocks * 512 < image.stat().st_size  # holes stay


def test_a_second_change_at_the_same_time_is_refused(image: Path, capsys: Capture) -> None:
    with image.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fails(["rm", str(image), "/dir/file"], capsys, "another zpp-image; try again", 9)
    assert main(["rm", str(image), "/dir/file"]) == 0


def test_a_full_disk_leaves_the_image(image: Path, capsys: Capture) -> None:
    before = image.read_bytes()
    script = f"ulimit -f 64; {sys.executable} -m efi_image rm {image} /dir/file"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert image.read_bytes() == before
    assert [path for path in image.parent.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wait", [0.0, 0.05, 0.2])
def test_a_kill_leaves_the_image_as_it_was_or_complete(
    how: signal.Signals, wait: float, image: Path, tmp_path: Path
) -> None:
    """From the moment when the copy starts."""
    big = tmp_path / "big"
    big.write_bytes(os.urandom(8 << 20))
    before = image.read_bytes()
    command = [sys.executable, "-m", "efi_image", "cp", str(big), f"{image}:/big"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".esp.img.*")):
        time.sleep(0.001)
    time.sleep(wait)
    process.send_signal(how)
    process.wait()
    if image.read_bytes() != before:
        assert names(image) == {"dir/file", "big"}
        with open_disk(image) as disk:
            place = disk.pick()
        check_fat(image, place.start, place.size)
        assert mtools_read(image, "big", tmp_path / "read", place.start) == big.read_bytes()

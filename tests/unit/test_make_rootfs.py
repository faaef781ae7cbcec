"""`zpp-image make --rootfs`: the oracles are e2fsck, debugfs and dumpe2fs of e2fsprogs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import oracles
import pytest
from makepe import make_pe

from efi_image.cli.main import main
from efi_image.errors import ExitCode
from efi_image.formats.zpp_conf import BootEntry, parse

MIB = 1 << 20
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root directory with two kernels, the newer of which has an initrd."""
    root = tmp_path / "root"
    for name, data in {
        "boot/vmlinuz-6.1.0-9-amd64": make_pe(reloc_size=0, text=b"old"),
        "boot/vmlinuz-6.1.0-10-amd64": make_pe(reloc_size=0, text=b"new"),
        "boot/initrd.img-6.1.0-10-amd64": b"070701initrd",
        "etc/hostname": b"guest\n",
        "usr/lib/large": bytes(range(256)) * 10000,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "lib").symlink_to("usr/lib")
    (root / "etc/hostname").chmod(0o640)
    for path in (root, *root.rglob("*")):  # reading does not change an access time that is recent
        os.utime(path, (time.time(), 1600000000), follow_symlinks=False)
    return root


def make(build_dir: Path, *arguments: str | Path) -> int:
    return main(["make", "--build-dir", str(build_dir), *map(str, arguments)])


def partition(image: Path) -> tuple[Path, str]:
    """The second partition as a file, and its GUID, as sgdisk sees them."""
    text = oracles.run("sgdisk", "-i2", image)
    assert "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709" in text
    guid, first, size = (
        re.search(pattern, text)[1]  # type: ignore[index]
        for pattern in (r"unique GUID: (\S+)", r"First sector: (\d+)", r"size: (\d+)")
    )
    with image.open("rb") as file:
        file.seek(int(first) * 512)
        copy = image.with_name("partition.ext4")
        copy.write_bytes(file.read(int(size) * 512))
    return copy, guid.lower()


def entry(image: Path) -> BootEntry:
    files = oracles.pyfatfs_files(image, MIB)
    return parse(files["EFI/zpp/zpp.conf"]).entries[0]


def debugfs(file_system: Path, command: str) -> str:
    return oracles.run("debugfs", "-R", command, file_system)


def test_partition_has_the_files(build_dir: Path, tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    assert make(build_dir, image, "--rootfs", tree, "--rootfs-size", "32M") == 0
    file_system, guid = partition(image)
    assert file_system.stat().st_size == 32 * MIB
    oracles.run("e2fsck", "-fn", file_system)
    assert re.search(rf"UUID: +{guid}", oracles.run("dumpe2fs", "-h", file_system))
    copied = tmp_path / "copied"
    debugfs(file_system, f"dump /usr/lib/large {copied}")
    assert copied.read_bytes() == (tree / "usr/lib/large").read_bytes()
    assert '"usr/lib"' in debugfs(file_system, "stat /lib")
    assert "Mode:  0640" in debugfs(file_system, "stat /etc/hostname")
    files = oracles.pyfatfs_files(image, MIB)
    assert files["EFI/zpp/kernel.efi"] == (tree / "boot/vmlinuz-6.1.0-10-amd64").read_bytes()
    assert files["EFI/zpp/initrd.img"] == b"070701initrd"
    words = f"root=PARTUUID={guid} rw console=tty0 console=ttyS0,115200"
    assert entry(image).cmdline == words


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--cmdline", "quiet"), r"root=PARTUUID=[0-9a-f-]{36} quiet"),
        (("--cmdline", "root=/dev/vda2 ro"), "root=/dev/vda2 ro"),
        (("--serial", "0"), r"root=PARTUUID=[0-9a-f-]{36} rw console=tty0"),
    ],
)
def test_command_line(
    build_dir: Path, tree: Path, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    image = tmp_path / "disk.img"
    assert make(build_dir, image, "--rootfs", tree, "--rootfs-size", "32M", *arguments) == 0
    assert re.fullmatch(expected, entry(image).cmdline)


def test_own_kernel_comes_without_the_initrd_of_another(
    build_dir: Path, tree: Path, tmp_path: Path
) -> None:
    kernel, image = tmp_path / "vmlinuz", tmp_path / "disk.img"
    kernel.write_bytes(make_pe(reloc_size=0, text=b"own"))
    words = ("--rootfs", tree, "--rootfs-size", "32M", "--kernel", kernel)
    assert make(build_dir, image, *words) == 0
    files = oracles.pyfatfs_files(image, MIB)
    assert files["EFI/zpp/kernel.efi"] == kernel.read_bytes()
    assert "EFI/zpp/initrd.img" not in files


def test_same_tree_gives_the_same_bytes(build_dir: Path, tree: Path, tmp_path: Path) -> None:
    images = [tmp_path / "a.img", tmp_path / "b.img"]
    for image in images:
        assert make(build_dir, image, "--rootfs", tree, "--rootfs-size", "32M") == 0
    assert images[0].read_bytes() == images[1].read_bytes()


def test_default_size_leaves_room(build_dir: Path, tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    assert make(build_dir, image, "--rootfs", tree) == 0
    head = oracles.run("dumpe2fs", "-h", partition(image)[0])
    free = int(re.search(r"Free blocks: +(\d+)", head)[1]) * 4096  # type: ignore[index]
    assert free > 200 * MIB


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--rootfs", "nowhere"), ExitCode.INPUT, "nowhere: does not exist"),
        (("--rootfs", "root/etc/hostname"), ExitCode.INPUT, "is not a directory"),
        (("--rootfs", "root/etc"), ExitCode.INPUT, "root/etc/boot: has no kernel vmlinuz-VERSION"),
        (
            ("--rootfs", "root", "--rootfs-size", "1M"), ExitCode.DOES_NOT_FIT,
            "--rootfs-size: 10 files, 2 MiB, do not fit into 1 MiB; 259M is enough",
        ),
        *(
            (("--rootfs", "root", "--rootfs-size", size), ExitCode.USAGE,
             f"--rootfs-size: must be from 1M to 16T, not '{size}'")
            for size in ("0", "1K", "1048575", "17T", "999999999999999T")
        ),
        (("--rootfs", "root", "--rootfs-size", "-1M"), ExitCode.USAGE, "expected a size such as"),
    ],
)  # fmt: skip
def test_refused(
    build_dir: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture,
    arguments: tuple[str, ...], code: ExitCode, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert make(build_dir, "disk.img", *arguments) == code
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_many_small_files_fit(build_dir: Path, tree: Path, tmp_path: Path) -> None:
    """mke2fs alone makes an inode for each 16 KiB, or 4 KiB below 512 MiB."""
    for number in range(600):
        (tree / f"etc/{number}").touch()
    image = tmp_path / "disk.img"
    assert make(build_dir, image, "--rootfs", tree, "--rootfs-size", "8M") == 0
    head = oracles.run("dumpe2fs", "-h", partition(image)[0])
    assert int(re.search(r"Inode count: +(\d+)", head)[1]) > 1900  # type: ignore[index]
    tops = len(list(tree.rglob("*")))
    assert int(re.search(r"Free inodes: +(\d+)", head)[1]) > tops // 2  # type: ignore[index]


def test_a_full_disk_of_this_machine_is_not_a_small_file_system(
    build_dir: Path, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "small").mkdir()
    if os.geteuid():
        pytest.skip("needs root to mount a small file system")
    command = [sys.executable, "-m", "efi_image", "make", "small/disk.img", "--rootfs", str(tree),
               "--build-dir", str(build_dir)]  # fmt: skip
    script = f"mount -t tmpfs -o size=1M none small && {shlex.join(command)}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == ExitCode.OUTPUT
    reason = "zpp-image: small/disk.img: cannot be written: No space left on device\n"
    assert done.stderr == reason


def test_mke2fs_is_missing(
    build_dir: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("efi_image.build.rootfs._FOLDERS", ())
    assert make(build_dir, tmp_path / "disk.img", "--rootfs", tree) == ExitCode.MISSING
    assert "mke2fs is needed to make a root file system" in capsys.readouterr().err


def test_a_file_system_mounted_in_the_tree_is_refused(
    build_dir: Path, tree: Path, tmp_path: Path, capsys: Capture
) -> None:
    below = tree / "proc"
    below.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", below], check=False).returncode:
        pytest.skip("needs root")
    try:
        assert make(build_dir, tmp_path / "disk.img", "--rootfs", tree) == ExitCode.INPUT
    finally:
        subprocess.run(["umount", below], check=True)
    assert f"{below}: is a mount point; `umount {below}`" in capsys.readouterr().err

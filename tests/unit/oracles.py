"""Programs of others that say whether an image is right. None may be missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyfatfs.PyFat import PyFat

PACKAGES = {
    "fsck.fat": "dosfstools",
    "mkfs.fat": "dosfstools",
    "mdir": "mtools",
    "mmd": "mtools",
    "mcopy": "mtools",
    "minfo": "mtools",
    "mformat": "mtools",
    "mtype": "mtools",
    "sgdisk": "gdisk",
    "xorriso": "xorriso",
    "isoinfo": "genisoimage",
    "genisoimage": "genisoimage",
    "qemu-img": "qemu-utils",
    "osslsigncode": "osslsigncode",
    "sbsign": "sbsigntool",
    "sbverify": "sbsigntool",
    "pesign": "pesign",
    "certutil": "libnss3-tools",
    "pk12util": "libnss3-tools",
    "openssl": "openssl",
    "zstd": "zstd",
    "lz4": "lz4",
    "sfdisk": "fdisk",
    "bmaptool": "bmap-tools",
    "xz": "xz-utils",
    "gzip": "gzip",
    "mkfs.ext4": "e2fsprogs",
    "setpriv": "util-linux",
    "mkswap": "util-linux",
    "swapon": "mount",
    "swapoff": "mount",
    "mount": "mount",
}


def run(tool: str, *arguments: str | Path, check: bool = True, cwd: Path | None = None) -> str:
    """The tool's output; the test fails if the tool is missing or finds fault."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    program = shutil.which(tool, path=path)
    if program is None:
        pytest.fail(f"{tool} is missing: `apt-get install {PACKAGES[tool]}` or `make setup`")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MTOOLSRC": "/dev/null"}
    result = subprocess.run(
        [program, *map(str, arguments)],
        capture_output=True,
        timeout=60,
        env=environment,
        cwd=cwd,
        check=False,
    )
    output = (result.stdout + result.stderr).decode("utf-8", "replace")
    if check and result.returncode:
        pytest.fail(f"{tool} {' '.join(map(str, arguments))}: {result.returncode}\n{output}")
    return output


def verdict(tool: str, *arguments: str | Path) -> bool:
    """Whether the tool ends well."""
    program = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        pytest.fail(f"{tool} is missing: `apt-get install {PACKAGES[tool]}` or `make setup`")
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def check_fat(image: Path, offset: int = 0, size: int = 0) -> str:
    """fsck.fat on a volume, which is copied out if it stands within an image."""
    volume = image
    if offset:
        volume = image.with_suffix(".volume")
        with image.open("rb") as source, volume.open("wb") as target:
            source.seek(offset)
            target.write(source.read(size))
    report = run("fsck.fat", "-n", "-v", volume)
    # it ends with 0 although it says that boot sector and backup differ
    assert "differences" not in report, report
    return report


def check_gpt(image: Path) -> None:
    """sgdisk and sfdisk on an image with 512-byte sectors.

    Both say that all is well after they have mended a header in memory; the words they
    say before that count.
    """
    for tool, option, verdict in (
        ("sgdisk", "-v", "No problems found"),
        ("sfdisk", "--verify", "No errors detected"),
    ):
        report = run(tool, option, image)
        assert verdict in report, report
        words = ("caution", "warning", "corrupt", "invalid")
        assert not any(word in report.lower() for word in words), report


def mtools_paths(image: Path, offset: int = 0) -> set[str]:
    """All files that mtools finds, as `EFI/BOOT/BOOTX64.EFI`."""
    listing = run("mdir", "-i", f"{image}@@{offset}", "-/", "-b", "::")
    paths = [line.removeprefix("::/") for line in listing.splitlines()]
    return {path for path in paths if path and not path.endswith("/")}


def mtools_read(image: Path, path: str, target: Path, offset: int = 0) -> bytes:
    """A file's bytes as mtools reads them."""
    run("mcopy", "-n", "-i", f"{image}@@{offset}", f"::/{path}", target)
    data = target.read_bytes()
    target.unlink()
    return data


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """pyfatfs can read a bad volume for ever."""

    def too_long(_number: int, _frame: object) -> None:
        raise TimeoutError(f"reading took more than {seconds} s")

    previous = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def pyfatfs_files(image: Path, offset: int = 0) -> dict[str, bytes]:
    """Every file with its bytes, as pyfatfs reads them."""
    files: dict[str, bytes] = {}

    def read(fat: Any, entry: Any) -> bytes:
        if not entry.filesize:
            return b""
        chain = fat.get_cluster_chain(entry.get_cluster())
        data: bytes = b"".join(fat.read_cluster_contents(cluster) for cluster in chain)
        return data[: entry.filesize]

    def walk(fat: Any, directory: Any, prefix: str) -> None:
        directories, plain, _special = directory.get_entries()
        for entry in plain:
            files[f"{prefix}{entry}"] = read(fat, entry)
        for entry in directories:
            walk(fat, entry, f"{prefix}{entry}/")

    with time_limit(60):
        fat = PyFat(offset=offset)
        fat.open(str(image), read_only=True)
        try:
            walk(fat, fat.root_dir, "")
        finally:
            fat.close()
    return files

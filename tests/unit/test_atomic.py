"""An output is whole or not there."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from namespaces import own_mounts

from efi_image.errors import OutputError
from efi_image.io.atomic import atomic, check_output, workspace


def put(output: Path, data: bytes) -> None:
    with atomic(output) as descriptor:
        os.write(descriptor, data)


def test_new_and_replaced(tmp_path: Path) -> None:
    output = tmp_path / "a.img"
    put(output, b"one")
    assert output.read_bytes() == b"one"
    put(output, b"two")
    assert output.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("first", [None, KeyboardInterrupt])
def test_a_signal_while_a_workspace_is_removed_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: type[BaseException] | None
) -> None:
    """A raw image of gigabytes takes a while to remove."""
    removed = shutil.rmtree

    def remove(folder: Path, **options: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        removed(folder, **options)

    def make() -> None:
        with workspace(tmp_path / "a.qcow2") as made:
            made.with_name("raw").write_bytes(b"raw")
            made.write_bytes(b"disk")
            if first:
                raise first

    monkeypatch.setattr(shutil, "rmtree", remove)
    with pytest.raises(KeyboardInterrupt):
        make()
    assert [path.name for path in tmp_path.iterdir()] == ([] if first else ["a.qcow2"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    output = tmp_path / "a.img"
    output.write_bytes(b"old")

    def fail() -> None:
        with atomic(output) as descriptor:
            os.write(descriptor, b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert output.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [output]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        put(tmp_path / "a.img", b"")
    finally:
        os.umask(previous)
    assert (tmp_path / "a.img").stat().st_mode & 0o777 == 0o640


def test_links_are_followed(tmp_path: Path) -> None:
    real = tmp_path / "folder" / "real.img"
    real.parent.mkdir()
    link = tmp_path / "link.img"
    link.symlink_to(real)
    put(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_long_names(tmp_path: Path) -> None:
    output = tmp_path / ("x" * 255)
    put(output, b"new")
    assert output.read_bytes() == b"new"
    with pytest.raises(OutputError, match="File name too long"):
        put(tmp_path / ("x" * 256), b"new")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("", "is a directory"),
        ("fifo", "is a FIFO"),
        ("socket", "is a socket"),
        ("device", "is a device"),
        ("none/a.img", "its directory does not exist"),
        ("file/a.img", "cannot be written: Not a directory"),
        ("loop", "cannot be written: Too many levels of symbolic links"),
        ("a\0b", "cannot be written: its name contains a NUL"),
    ],
)
def test_outputs_that_are_refused(tmp_path: Path, name: str, what: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "device").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError) as caught:
        put(tmp_path / name, b"x")
    assert what in str(caught.value)
    assert caught.value.exit_code == 4
    assert sorted(tmp_path.iterdir()) == before


def test_place_where_nobody_can_create_files() -> None:
    with pytest.raises(OutputError, match="cannot be written: "):
        put(Path("/proc/zpp.img"), b"x")


def test_write_protected_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "a.img"
    output.write_bytes(b"old")
    output.chmod(0o444)
    if os.geteuid() == 0:  # root may write everything
        monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(OutputError, match="is write-protected"):
        check_output(output)


def test_read_only_file_system(tmp_path: Path) -> None:
    put(tmp_path / "old.img", b"old")
    program = (
        "from pathlib import Path\n"
        "from efi_image.io.atomic import atomic\n"
        "from efi_image.errors import OutputError\n"
        "for name in ('new.img', 'old.img'):\n"
        "    try:\n"
        f"        with atomic(Path({str(tmp_path)!r}) / name): pass\n"
        "    except OutputError as error: print(error)\n"
    )
    script = (
        'mount --bind "$1" "$1" && trap \'umount "$1"\' EXIT'
        ' && mount -o remount,bind,ro "$1" && "$2" -c "$3"'
    )
    done = subprocess.run(
        [*own_mounts(), "sh", "-ec", script, "sh",
         str(tmp_path), sys.executable, program],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{tmp_path}/new.img: cannot be written: Read-only file system",
        f"{tmp_path}/old.img: is write-protected",
    ]

"""Leftovers of killed processes are removed, those of live ones are not; writers lock files."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from terminal import Session

from efi_image.cli.main import main
from efi_image.emulator import RunRequest
from efi_image.emulator.inputs import work_directory
from efi_image.flash.session import Session as Write
from efi_image.io.atomic import atomic, workspace

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
CODE = "import sys\nfrom efi_image.cli.main import main\nsys.exit(main())"
Capture = pytest.CaptureFixture[str]

# ways to make something temporary for the output `x`, as an expression
MAKERS = {
    "atomic": "efi_image.io.atomic.atomic('x')",
    "workspace": "efi_image.io.atomic.workspace('x')",
    "run": "efi_image.emulator.inputs.work_directory(efi_image.emulator.RunRequest(Path('i')))",
}


@contextmanager
def process(maker: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has made something temporary, and waits."""
    code = (
        "import time, efi_image.emulator.inputs, efi_image.io.atomic\nfrom pathlib import Path\n"
        f"with {MAKERS[maker]}:\n    print('made', flush=True)\n    time.sleep(60)"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
    )  # fmt: skip
    assert running.stdout
    try:
        assert running.stdout.readline() == b"made\n"
        yield running
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def make_again(maker: str, folder: Path) -> None:
    if maker == "run":
        with work_directory(RunRequest(folder / "i")):
            pass
    elif maker == "atomic":
        with atomic(folder / "x"):
            pass
    else:
        with workspace(folder / "x") as path:
            path.touch()


def temporary(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != "x"]


@pytest.mark.parametrize("maker", list(MAKERS))
def test_the_next_one_removes_what_a_killed_one_left(
    maker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with process(maker, tmp_path) as running:
        (alive,) = temporary(tmp_path)
        if (tmp_path / alive).is_dir():
            (tmp_path / alive / "content").write_text("x")
        make_again(maker, tmp_path)
        assert temporary(tmp_path) == [alive]  # it still needs that
        running.kill()
        running.wait()
        make_again(maker, tmp_path)
        assert temporary(tmp_path) == []


def test_other_files_stay(tmp_path: Path) -> None:
    names = [".x.tmp", ".y.012345678901.tmp", "x.012345678901.tmp", ".x.012345678901", ".x.abc.tmp"]
    for name in names:
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / ".x.aaaaaaaaaaaa.tmp")
    (tmp_path / ".x.bbbbbbbbbbbb.tmp").symlink_to(tmp_path / ".x.tmp")
    names += [".x.aaaaaaaaaaaa.tmp", ".x.bbbbbbbbbbbb.tmp"]
    make_again("atomic", tmp_path)
    assert set(temporary(tmp_path)) == set(names)


def test_nothing_is_removed_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".x.0123456789ab.tmp"
    left.touch()

    def no_locks(_descriptor: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", no_locks)
        make_again("atomic", tmp_path)
    assert left.exists()
    make_again("atomic", tmp_path)
    assert not left.exists()


# ---- regular files as targets of a write


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(random.Random(3).randbytes(3 * MIB))
    return path


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    path = tmp_path / "stick"
    path.write_bytes(b"precious" * MIB)
    return path


def write(image: Path, stick: Path, *options: str) -> int:
    return main(["write", "--raw-bytes", str(image), str(stick), *options])


def test_an_existing_file_needs_force(
    image: Path, stick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stick.read_bytes()
    assert write(image, stick) == 9
    assert "stick: exists already and has data (8.0 MiB); overwrite it with --force" in (
        capsys.readouterr().err
    )
    assert stick.read_bytes() == before
    assert write(image, stick, "--force") == 0
    assert stick.read_bytes()[: 3 * MIB] == image.read_bytes()


def test_a_file_without_data_needs_no_force(image: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    with empty.open("wb") as file:
        file.truncate(8 * MIB)
    assert write(image, empty) == 0
    assert write(image, tmp_path / "new") == 0


@pytest.mark.parametrize(("answer", "code"), [(b"n\r", 9), (b"\r", 9), (b"y\r", 0)])
def test_a_person_is_asked(image: Path, stick: Path, answer: bytes, code: int) -> None:
    line = [sys.executable, "-c", CODE, "write", "--raw-bytes", str(image), str(stick)]
    session = Session(line, {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"})
    try:
        session.wait_for(b"Overwrite it with")
        session.type(answer)
        assert session.end() == code
    finally:
        session.close()
    assert (stick.read_bytes()[:8] == b"precious") is bool(code)


def test_a_second_writer_is_refused(image: Path, stick: Path, capsys: Capture) -> None:
    before = stick.read_bytes()
    with stick.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert write(image, stick, "--force") == 9
    assert "stick: is being written by another program; wait until" in capsys.readouterr().err
    assert stick.read_bytes() == before
    assert write(image, stick, "--force") == 0


@pytest.mark.slow
def test_writers_that_race(image: Path, tmp_path: Path) -> None:
    """A writer that reports success has written the file, which is one image, not a mixture."""
    other = tmp_path / "other"
    other.write_bytes(random.Random(4).randbytes(3 * MIB))
    images = {path.read_bytes() for path in (image, other)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for attempt in range(4):
        stick = tmp_path / f"stick{attempt}"
        with stick.open("wb") as file:
            file.truncate(3 * MIB)
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", CODE, "write", "-f", "--raw-bytes", str(each), str(stick)],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for each in (image, other)
        ]  # fmt: skip
        codes = sorted(writer.wait(60) for writer in writers)
        assert codes in ([0, 0], [0, 9])
        assert stick.read_bytes() in images


@pytest.mark.parametrize("how", ["replaced by another file", "removed"])
def test_a_target_that_is_another_file_by_now(
    image: Path, stick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """As when `make` replaces the file during the write."""
    read_back = Write._read_back

    def replace(write: Write) -> None:
        read_back(write)
        stick.unlink()
        if how != "removed":
            stick.write_bytes(b"other")

    monkeypatch.setattr(Write, "_read_back", replace)
    assert write(image, stick, "--force") == 4
    told = capsys.readouterr()
    assert f"stick: was {how} during the write" in told.err
    assert "read back" not in told.out

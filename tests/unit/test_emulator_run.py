"""Starting, watching and ending an emulator, with a process that plays one."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import oracles
import pytest
from fake_emulator import FakeEmulator

from efi_image.emulator import BootResult, Debug, ExitReason, RunRequest, Viewer, boot
from efi_image.emulator.base import Launch
from efi_image.emulator.process import started
from efi_image.errors import (
    EmulatorFailed,
    EmulatorMissing,
    ExpectationFailed,
    InputError,
    OutputError,
    TimedOut,
    UsageError,
)
from efi_image.progress import Progress

HELLO = (b"first\r\n", b"zpp: CPU 0 held\r\n", b"zpp: CPU 1 held\r\n")


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRequest:
    image = tmp_path / "esp.img"
    image.write_bytes(bytes(1024))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    return RunRequest(image, timeout=20)


def left_behind(request: RunRequest) -> list[Path]:
    return list((request.image.parent / "work").iterdir())


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"  # killed; its adoptive parent has not asked for it yet


class Pieces(Viewer):
    """Keeps the text that it gets."""

    def __init__(self) -> None:
        self.text = ""
        self.data = b""
        self.unpacked: list[tuple[int, int]] = []

    def unpacking(self) -> Progress:
        return lambda done, total: self.unpacked.append((done, total))

    def show(self, data: bytes, text: str) -> None:
        self.data += data
        self.text += text


class Reader(FakeEmulator):
    """Keeps the bytes of the disk that it was given."""

    disk = b""

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        Reader.disk = request.image.read_bytes()
        return super().prepare(request, work)


@pytest.mark.parametrize("form", ["raw", "gz", "xz", "zst", "zip", "qcow2", "vhdx", "vmdk", "vdi"])
def test_every_form_of_an_image_runs(request_: RunRequest, form: str) -> None:
    """As `ls` and `write` read them; nothing is left behind."""
    raw = request_.image
    data = random.Random(1).randbytes(700) + bytes(5 * 1024 - 700)
    raw.write_bytes(data)
    image = raw.with_suffix(f".{form}")
    if form in {"qcow2", "vhdx", "vmdk", "vdi"}:
        oracles.run("qemu-img", "convert", "-f", "raw", "-O", form, raw, image)
    elif form == "zip":
        with zipfile.ZipFile(image, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(raw, "esp.img")
    elif form != "raw":
        program = {"gz": "gzip", "xz": "xz", "zst": "zstd"}[form]
        oracles.run(program, "-k", raw)
        raw.with_name(f"{raw.name}.{form}").rename(image)
    else:
        image = raw
    pieces = Pieces()
    boot(replace(request_, image=image), Reader(HELLO), pieces)
    assert pieces.unpacked == ([] if form == "raw" else [(len(data), len(data))])
    assert Reader.disk[: len(data)] == data
    assert not any(Reader.disk[len(data) :])
    assert left_behind(request_) == []


@pytest.mark.parametrize("name", ["esp.img", "link", "x", "y"])
def test_a_log_never_overwrites_the_image(request_: RunRequest, name: str) -> None:
    before = request_.image.read_bytes()
    (request_.image.parent / "link").symlink_to(request_.image)
    (request_.image.parent / "x.raw").symlink_to(request_.image)
    (request_.image.parent / "y.emulator").symlink_to(request_.image)
    with pytest.raises(UsageError, match="is also an input"):
        boot(replace(request_, log=request_.image.with_name(name)), FakeEmulator(HELLO))
    assert request_.image.read_bytes() == before


def test_power_off_ends_the_run(request_: RunRequest) -> None:
    pieces = Pieces()
    result = boot(request_, FakeEmulator(HELLO), pieces)
    assert result.reason is ExitReason.POWER_OFF
    assert result.seen
    assert result.require() is result
    assert result.serial == "first\nzpp: CPU 0 held\nzpp: CPU 1 held\n"
    assert pieces.text == result.serial
    assert pieces.data == b"".join(HELLO)
    assert left_behind(request_) == []


def test_run_ends_when_all_was_seen(request_: RunRequest) -> None:
    request = replace(request_, expect=(r"^zpp: CPU 1 held$", r"^first"))
    started = time.monotonic()
    result = boot(request, FakeEmulator(HELLO, linger=60))
    assert result.reason is ExitReason.EXPECTED
    assert result.require().missing == ()
    assert time.monotonic() - started < 15


def test_until_power_off_goes_on(request_: RunRequest) -> None:
    request = replace(request_, expect=("first",), until_power_off=True)
    result = boot(request, FakeEmulator(HELLO, pause=0.1))
    assert result.reason is ExitReason.POWER_OFF
    assert "CPU 1" in result.serial


def test_expression_over_a_piece_boundary(request_: RunRequest) -> None:
    request = replace(request_, expect=("^zpp: CPU 0 held$",))
    result = boot(request, FakeEmulator((b"x\nzpp: C", b"PU 0 he", b"ld\n"), pause=0.15))
    assert result.seen


def test_power_off_without_the_expected(request_: RunRequest) -> None:
    request = replace(request_, expect=("first", "CPU 7"))
    emulator = FakeEmulator(HELLO, log="all fine\nVMENTER FAIL: guest ES\n")
    result = boot(request, emulator)
    assert result.missing == ("CPU 7",)
    with pytest.raises(ExpectationFailed, match="'CPU 7'") as raised:
        result.require()
    assert "  zpp: CPU 1 held" in raised.value.details
    assert "  VMENTER FAIL: guest ES" in raised.value.details


@pytest.mark.parametrize("deaf", [False, True])
def test_time_limit_kills_the_emulator_and_its_children(request_: RunRequest, deaf: bool) -> None:
    child = "import os, time; open('child', 'w').write(str(os.getpid())); time.sleep(60)"
    request = replace(request_, timeout=1.0, expect=("never",), debug=Debug(keep_work=True))
    result = boot(request, FakeEmulator(HELLO, linger=60, deaf=deaf, child=child))
    assert result.reason is ExitReason.TIMEOUT
    with pytest.raises(TimedOut, match="not seen: 'never' within 1 s"):
        result.require()
    (work,) = left_behind(request_)
    pid = int((work / "child").read_text())
    assert wait_for(lambda: gone(pid))


def test_time_limit_without_expectation(request_: RunRequest) -> None:
    result = boot(replace(request_, timeout=0.3), FakeEmulator(HELLO, linger=60))
    with pytest.raises(TimedOut, match=r"did not power off within 0\.3 s"):
        result.require()


def test_failed_emulator_shows_its_command_line(request_: RunRequest) -> None:
    request = replace(request_, debug=Debug(keep_work=True))
    failed = "the emulator failed: fake ended with exit status 3"
    with pytest.raises(EmulatorFailed, match=failed) as raised:
        boot(request, FakeEmulator((b"hello\n",), status=3))
    details = raised.value.details
    assert "  hello" in details
    assert "  the fake emulator ends" in details
    # the line can be pasted: the work directory is still there, and the same happens again
    line = details[details.index("the command line was:") + 1]
    again = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert again.returncode == 3
    assert again.stdout == "the fake emulator ends\n"
    assert len(left_behind(request_)) == 1


def test_failed_emulator_leaves_nothing_behind(request_: RunRequest) -> None:
    with pytest.raises(EmulatorFailed) as raised:
        boot(request_, FakeEmulator((b"hello\n",), status=3))
    assert "the command line was (--keep-work keeps its directory):" in raised.value.details
    assert left_behind(request_) == []


def test_killed_emulator_is_a_failure(request_: RunRequest, tmp_path: Path) -> None:
    killer = "import os, signal, time; time.sleep(0.5); os.kill(os.getppid(), signal.SIGKILL)"
    request = replace(request_, expect=("never",), log=tmp_path / "boot.log")
    with pytest.raises(EmulatorFailed, match="fake was killed by SIGKILL") as raised:
        boot(request, FakeEmulator(HELLO, linger=60, child=killer))
    assert "  zpp: CPU 1 held" in raised.value.details
    assert "CPU 1 held" in (tmp_path / "boot.log").read_text()


def test_a_signal_in_the_wrong_moment(tmp_path: Path) -> None:
    """Its exception leaves Popen's lock taken, but the emulator ends."""
    launch = Launch((sys.executable, "-c", "import time; time.sleep(60)"), tmp_path)
    with started(launch) as process:
        process._waitpid_lock.acquire()  # type: ignore[attr-defined]
    assert gone(process.pid)
    assert process.returncode == -signal.SIGTERM


def test_logs_are_kept(request_: RunRequest, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "boot.log"
    emulator = FakeEmulator(
        (b"\x1b[2J\x1b[01;01Hred \x1b[31mtext\x1b[0m\r\n",), log="emulator says\n"
    )
    boot(replace(request_, log=log), emulator)
    assert log.read_text() == "red text\n"
    assert (tmp_path / "logs/boot.log.raw").read_bytes() == emulator.pieces[0]
    assert "emulator says" in (tmp_path / "logs/boot.log.emulator").read_text()


def test_log_whose_bytes_cannot_be_written(request_: RunRequest, tmp_path: Path) -> None:
    (tmp_path / "boot.log.raw").mkdir()
    with pytest.raises(OutputError, match=r"boot\.log: cannot be written"):
        boot(replace(request_, log=tmp_path / "boot.log"), FakeEmulator(HELLO))


def test_log_without_room(request_: RunRequest, tmp_path: Path) -> None:
    (tmp_path / "boot.log").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"boot\.log: cannot be written \(No space left"):
        boot(replace(request_, log=tmp_path / "boot.log"), FakeEmulator(HELLO, linger=60))


def test_log_that_cannot_be_written(request_: RunRequest, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        boot(replace(request_, log=tmp_path), FakeEmulator(HELLO))
    assert left_behind(request_) == []


def test_emulator_that_is_not_installed(request_: RunRequest) -> None:
    class Absent(FakeEmulator):
        def prepare(self, request: RunRequest, work: Path) -> Launch:
            return Launch(("no-such-emulator", "a b"), work)

    with pytest.raises(EmulatorMissing, match="no-such-emulator is not installed"):
        boot(request_, Absent())


def test_interrupted_run_ends_the_emulator_and_keeps_the_logs(
    request_: RunRequest, tmp_path: Path
) -> None:
    class Interrupting(Viewer):
        def show(self, data: bytes, text: str) -> None:
            raise KeyboardInterrupt

    log = tmp_path / "boot.log"
    emulator = FakeEmulator(HELLO, log="words\n", pause=0.3, linger=60)
    with pytest.raises(KeyboardInterrupt):
        boot(replace(request_, log=log), emulator, Interrupting())
    assert "first" in log.read_text()
    assert "words" in (tmp_path / "boot.log.emulator").read_text()
    assert left_behind(request_) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_emulator_survives_zpp_image(
    request_: RunRequest, tmp_path: Path, number: signal.Signals
) -> None:
    """Even SIGKILL: the emulator is tied to its parent."""
    log = tmp_path / "boot.log"
    code = f"""
import sys
from pathlib import Path
from efi_image.cli import main as cli
from efi_image.emulator import base
from efi_image.cli import run

sys.path.insert(0, {str(Path(__file__).parent)!r})
from fake_emulator import FakeEmulator

class Emulator(FakeEmulator):
    def prepare(self, request, work):
        from dataclasses import replace
        launch = super().prepare(request, work)
        return replace(launch, command=(*base.guard(), *launch.command))

run.choose = lambda *_: Emulator((b"started\\n",), linger=60)
sys.exit(cli.main(["run", {str(request_.image)!r}, "--log", {str(log)!r}, "--keep-work"]))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "work")}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert wait_for(lambda: log.exists() and "started" in log.read_text())
        (emulator,) = children(process.pid)
        process.send_signal(number)
        status = process.wait(10)
    finally:
        process.kill()
        process.wait()
    assert status == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
    assert wait_for(lambda: gone(emulator))


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cpus", 0, "--cpus: must be at least 1"),
        ("memory", 1, "--memory: must be at least 64 MiB"),
        ("timeout", -1, "--timeout: must be 0 or more seconds"),
        ("timeout", float("nan"), "--timeout: must be 0 or more seconds"),
        ("expect", ("(",), "--expect: is not a regular expression"),
    ],
)
def test_bad_requests(request_: RunRequest, field: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(request_, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, b"", bytes(513)])
def test_bad_images(request_: RunRequest, content: bytes | None) -> None:
    request_.image.unlink()
    if content is not None:
        request_.image.write_bytes(content)
    with pytest.raises(InputError, match=r"esp\.img"):
        boot(request_, FakeEmulator())


def test_command_line_is_quoted(tmp_path: Path) -> None:
    launch = Launch(("emulator", "a b", "$x"), tmp_path / "it's", {"NAME": "two words"})
    assert shlex.split(launch.line) == [
        "cd", str(tmp_path / "it's"), "&&", "NAME=two words", "emulator", "a b", "$x",
    ]  # fmt: skip


def test_result_counts_time(request_: RunRequest) -> None:
    result: BootResult = boot(request_, FakeEmulator(HELLO, linger=0.3))
    assert 0.3 <= result.seconds < 15

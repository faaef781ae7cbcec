"""The console of `zpp-image run` on a pseudo-terminal; a process plays the guest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import TAKE_TERMINAL, Session

from efi_image.cli.serial_console import Pipe
from efi_image.emulator.serial_line import SerialLine
from efi_image.errors import OutputError

ROOT = Path(__file__).parents[2]
PROGRAM = (
    TAKE_TERMINAL
    + """
import sys
from efi_image.cli import main, run
sys.path.insert(0, {folder!r})
from fake_emulator import FakeEmulator
run.choose = lambda *_: FakeEmulator({player})
run.debugger.command = lambda *_: ("sh", "-c", "echo gdb starts; read word; echo $word by gdb")
sys.exit(main.main(["run", {image!r}, *sys.argv[1:]]))
"""
)
GREETING = b"\x1b[31mlogin:\x1b[0m "
ANSWERS = f"({GREETING!r},), answers=True"
PANICS = f"({GREETING!r}, b'\\r\\nKernel panic - not syncing: no init\\r\\n'), pause=1, linger=20"
CTRL_RIGHT_BRACKET = b"\x1d"


def command(folder: Path, player: str, *options: str) -> list[str]:
    image = folder / "esp.img"
    image.write_bytes(bytes(512))
    here = str(Path(__file__).parent)
    code = PROGRAM.format(folder=here, player=player, image=str(image))
    return [sys.executable, "-c", code, *options]


def environment(work: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(work), "TERM": "xterm"}


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[list[Session]]:
    opened: list[Session] = []
    yield opened
    for session in opened:
        session.close()


def start(sessions: list[Session], folder: Path, player: str, *options: str) -> Session:
    work = folder / "work"
    work.mkdir()
    sessions.append(Session(command(folder, player, *options), environment(work)))
    return sessions[-1]


def test_typing_reaches_the_guest(sessions: list[Session], tmp_path: Path) -> None:
    log = tmp_path / "boot.log"
    session = start(sessions, tmp_path, ANSWERS, "--log", str(log))
    session.wait_for(GREETING)  # its colours reach the terminal
    assert b"keys go to the guest; Ctrl-] ends the run" in session.seen
    for keys in (b"root\r", b"\x03", b"\x1a", b"\xc3\xa9"):  # Ctrl-C and Ctrl-Z are the guest's
        session.type(keys)
        session.wait_for(b"<" + keys + b">")
    session.type(b"off")
    assert session.end() == 0
    assert b"the machine powered off" in session.seen
    assert session.mode == session.before
    raw = b"<root\r>\r\n<\x03>\r\n<\x1a>\r\n<\xc3\xa9>\r\n<off>\r\n"
    assert (tmp_path / "boot.log.raw").read_bytes() == GREETING + raw
    assert "login: <root" in log.read_text()


@pytest.mark.parametrize(
    ("player", "options", "end", "code"),
    [
        (ANSWERS, [], CTRL_RIGHT_BRACKET, 0),
        (ANSWERS, [], b"off", 0),
        (ANSWERS, [], signal.SIGTERM, 143),
        (ANSWERS, [], signal.SIGHUP, 143),
        (ANSWERS, [], signal.SIGQUIT, 143),
        (ANSWERS, [], signal.SIGINT, 130),
        (ANSWERS, ["--timeout", "1.5"], None, 8),
        (ANSWERS + ", status=3", [], b"off", 7),  # the emulator fails
        (ANSWERS, ["--stdin", "--expect", "answer"], CTRL_RIGHT_BRACKET, 1),
        (PANICS, [], None, 1),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value),
)
def test_the_terminal_is_as_before_at_every_end(
    sessions: list[Session],
    tmp_path: Path,
    player: str,
    options: list[str],
    end: bytes | signal.Signals | None,
    code: int,
) -> None:
    session = start(sessions, tmp_path, player, *options)
    session.wait_for(GREETING)
    assert session.mode != session.before
    if isinstance(end, bytes):
        session.type(end)
    elif end is not None:
        session.process.send_signal(end)
    assert session.end() == code
    assert session.mode == session.before
    assert b"Traceback" not in session.seen
    assert b"\x1b[?25h" in session.seen  # the cursor, which a guest may hide
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("options", [["--no-stdin"], ["--expect", "never"], ["--quiet"]])
def test_runs_without_a_console_leave_the_terminal_alone(
    sessions: list[Session], tmp_path: Path, options: list[str]
) -> None:
    session = start(sessions, tmp_path, "(b'hello',), linger=20", *options, "--timeout", "30")
    time.sleep(1.5)
    assert session.mode == session.before
    session.type(b"\x03")  # Ctrl-C ends it
    assert session.end() == 130


def test_the_console_begins_when_gdb_ends(sessions: list[Session], tmp_path: Path) -> None:
    session = start(sessions, tmp_path, ANSWERS, "--debug")
    session.wait_for(b"the guest's output appears when you quit gdb")
    session.wait_for(b"gdb starts")
    assert session.mode == session.before
    session.type(b"read\n")
    session.wait_for(b"read by gdb")
    session.wait_for(b"keys go to the guest; Ctrl-] ends the run")
    session.wait_for(GREETING)
    session.type(b"\x03")
    session.wait_for(b"<\x03>")
    session.type(CTRL_RIGHT_BRACKET)
    assert session.end() == 0
    assert b"you ended the run" in session.seen
    assert session.mode == session.before


def test_gdb_may_outlive_the_machine(sessions: list[Session], tmp_path: Path) -> None:
    session = start(sessions, tmp_path, "(b'hello',)", "--debug")
    session.wait_for(b"gdb starts")
    time.sleep(1)
    session.type(b"quit\n")
    assert session.end() == 0
    assert b"quit by gdb\r\nhello\r\n" in session.seen
    assert session.mode == session.before


def test_a_failure_shows_the_last_lines_once(sessions: list[Session], tmp_path: Path) -> None:
    session = start(sessions, tmp_path, PANICS)
    assert session.end() == 1
    assert session.seen.count(b"Kernel panic") == 1
    assert b"the guest failed: the kernel panicked (no init)" in session.seen.splitlines()[-1]


def test_every_byte_of_a_fast_guest_is_in_the_log(sessions: list[Session], tmp_path: Path) -> None:
    """Even while the terminal is not read."""
    log = tmp_path / "boot.log"
    lines = "b''.join(b'line %d\\r\\n' % n for n in range(7000))"
    session = start(sessions, tmp_path, f"({lines},)", "--log", str(log))
    time.sleep(2)
    assert session.end() == 0
    expected = b"".join(b"line %d\r\n" % n for n in range(7000))
    assert (tmp_path / "boot.log.raw").read_bytes() == expected


def test_a_disk_without_room(tmp_path: Path) -> None:
    """The bytes of the guest cannot be kept: the run ends with the reason."""
    (tmp_path / "serial").symlink_to("/dev/full")
    reader, writer = os.pipe()
    line = SerialLine(tmp_path, tmp_path / "serial", Pipe(reader))
    try:
        with (tmp_path / "serial.tty").open("wb", buffering=0) as guest:
            guest.write(b"hello")
        with pytest.raises(OutputError, match="serial: cannot be written .No space left"):
            line.wait(20)
    finally:
        line.close()
        os.close(reader)
        os.close(writer)


def run_piped(folder: Path, data: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    line = command(folder, ANSWERS, "--timeout", "3", *options)
    return subprocess.run(line, input=data, capture_output=True, check=False, timeout=60,
                          env=environment(folder))  # fmt: skip


def test_piped_input_is_sent_only_if_asked_for(tmp_path: Path) -> None:
    done = run_piped(tmp_path, b"\x1d and off", "--stdin")  # Ctrl-] is data here
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"login: <")
    done = run_piped(tmp_path, b"off")
    assert b"off" not in done.stdout
    assert done.returncode == 0  # this guest powers off where it cannot read


def test_closed_input(tmp_path: Path) -> None:
    line = command(tmp_path, ANSWERS, "--stdin")
    done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *line], capture_output=True,
                          check=False, timeout=60, env=environment(tmp_path))  # fmt: skip
    assert done.returncode == 2
    assert b"--stdin: standard input is closed" in done.stderr

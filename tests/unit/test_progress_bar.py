"""Progress on a terminal, and silence elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from efi_image.cli.progress_bar import ProgressBar, describe, fitted
from efi_image.progress import counter, told

MIB = 1 << 20


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (210 * MIB, 500 * MIB, 2, " 42%  210.0 MiB of 500.0 MiB  105.0 MiB/s  0:03 left"),
        (MIB, 10 << 30, 1, "  0%  1.0 MiB of 10.0 GiB  1.0 MiB/s  2:50:39 left"),
        (0, 10, 1, "  0%  0 bytes of 10 bytes  0 bytes/s"),
        (10, 10, 2, "100%  10 bytes of 10 bytes  5 bytes/s  0:00 left"),
        (0, 0, 0, "100%  0 bytes of 0 bytes  0 bytes/s"),
    ],
)
def test_line(done: int, total: int, seconds: float, line: str) -> None:
    assert "  ".join(describe(done, total, seconds).values()) == line


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal of the tests, whatever the caller's is."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def lines(stream: io.StringIO) -> list[str]:
    """What was drawn, without colours: each line that took the place of another."""
    found = [re.sub(r"\x1b\[K|[━╌]", "", line) for line in re.split(r"[\r\n]+", stream.getvalue())]
    return [line.rstrip() for line in found if line.strip()]


def test_it_is_shown_after_a_second_and_taken_away() -> None:
    stream, clock = Terminal(), Clock()
    with ProgressBar(stream, clock) as bar:
        clock.now += 0.9
        bar(1, 100)
        assert stream.getvalue() == ""
        clock.now += 0.2
        bar(50, 100)
        assert lines(stream)[-1].startswith(" 50%  50 bytes of 100 bytes")
        drawn = stream.getvalue()
        bar(51, 100)
        assert stream.getvalue() == drawn
        clock.now += 0.2
        bar(99, 100)
        assert lines(stream)[-1].startswith(" 99%")
    assert is_taken_away(stream)


def is_taken_away(stream: io.StringIO) -> bool:
    """Whether the cursor is at the start of the line that was drawn, now empty."""
    return stream.getvalue().endswith("\r\x1b[K")


def test_it_is_quiet_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, clock = io.StringIO(), Clock()
    with ProgressBar(stream, clock) as bar:
        clock.now += 100
        bar(1, 2)
    assert stream.getvalue() == ""
    assert bar.progress is None
    assert ProgressBar(Terminal(), clock).progress is not None
    monkeypatch.setenv("TERM", "dumb")
    assert ProgressBar(Terminal(), clock).progress is None


def test_it_is_taken_away_when_the_work_fails() -> None:
    stream, clock = Terminal(), Clock()

    def fail() -> None:
        with ProgressBar(stream, clock) as bar:
            clock.now += 2
            bar(1, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert is_taken_away(stream)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (100, "writing:  50%  1.0 MiB of 2.0 MiB  512.0 KiB/s  0:02 left  ━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌"),
        (64, "writing:  50%  1.0 MiB of 2.0 MiB  512.0 KiB/s  0:02 left"),
        (55, "writing:  50%  512.0 KiB/s  0:02 left  ━━━━━━━━╌╌╌╌╌╌╌╌"),
        (40, "writing:  50%  512.0 KiB/s  0:02 left"),
        (30, "writing:  50%  0:02 left"),
        (16, " 50%  0:02 left"),
        (10, " 50%  0:02"),
        (2, " 5"),
    ],
)
def test_it_fits_the_terminal(columns: int, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitted("writing", MIB, 2 * MIB, 2, columns)[:columns] == line
    monkeypatch.setenv("COLUMNS", str(columns + 1))
    stream, clock = Terminal(), Clock()
    with ProgressBar(stream, clock, "writing") as bar:
        clock.now += 2
        bar(MIB, 2 * MIB)
        assert stream.getvalue() == f"\r\x1b[K{line}"


@pytest.mark.parametrize("columns", [0, 20, 59, 80])
def test_it_never_scrolls(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real terminal, whose width is that of standard error."""
    monkeypatch.delenv("COLUMNS")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        clock, seen = Clock(), ""
        with ProgressBar(stream, clock, "reading back") as bar:
            for step in range(1, 100):
                clock.now += 2
                bar(step * MIB, 100 * MIB)
                seen += os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "\n" not in seen
    drawn = seen.split("\r\x1b[K")
    assert len(drawn) > 90
    assert max(map(len, drawn)) < (columns or 80)


PROGRAM = """
import sys, time
from efi_image.cli import progress_bar
progress_bar.FIRST = 0
with progress_bar.ProgressBar(title="waiting") as bar:
    while True:
        bar(1, 2)
        time.sleep(0.1)
"""


def test_interrupt_leaves_a_clean_terminal() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=theirs, env=environ)
    os.close(theirs)
    seen = b""
    end = time.monotonic() + 60
    while b"waiting:" not in seen and time.monotonic() < end:
        seen += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    while b"KeyboardInterrupt" not in seen and time.monotonic() < end:
        seen += os.read(ours, 4096)
    os.close(ours)
    assert process.wait(60) != 0
    shown, _, trace = seen.partition(b"Traceback")
    assert shown.endswith(b"\r\x1b[K")
    assert b"KeyboardInterrupt" in trace


def test_counter_adds_up() -> None:
    told: list[tuple[int, int]] = []
    count = counter(lambda done, total: told.append((done, total)), 10)
    assert count is not None
    count(3)
    count(4)
    assert told == [(3, 10), (7, 10)]
    assert counter(None, 10) is None


def test_it_starts_anew_with_what_begins_anew() -> None:
    stream, clock = Terminal(), Clock()
    with ProgressBar(stream, clock) as bar:
        clock.now += 10
        bar(100, 100)
        clock.now += 1
        bar(1, 100)
        clock.now += 5
        bar(50, 100)
        assert lines(stream)[-1] == " 50%  50 bytes of 100 bytes  10 bytes/s  0:05 left"


def test_it_makes_way_for_lines() -> None:
    stream, clock = Terminal(), Clock()
    with ProgressBar(stream, clock) as bar:
        clock.now += 2
        bar(1, 2)
        bar.clear()
        assert is_taken_away(stream)
        before = stream.getvalue()
        bar.clear()
        assert stream.getvalue() == before
        clock.now += 2
        bar(2, 2)
        assert lines(stream)[-1].startswith("100%")
    assert is_taken_away(stream)


def test_what_is_told_ends_with_the_total() -> None:
    seen: list[tuple[int, int]] = []
    pieces = [b"ab", b"", b"cde"]
    assert list(told(iter(pieces), lambda *count: seen.append(count), 4)) == pieces
    assert seen == [(2, 4), (2, 4), (4, 4)]
    assert list(told(iter(pieces), None, 4)) == pieces

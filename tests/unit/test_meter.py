"""Progress on a terminal, and silence elsewhere."""

from __future__ import annotations

import io

import pytest

from efi_image.cli.progress_bar import Meter, describe
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
    assert describe(done, total, seconds) == line


def test_it_is_shown_after_a_second_and_taken_away() -> None:
    stream, clock = Terminal(), Clock()
    with Meter(stream, clock) as meter:
        clock.now += 0.9
        meter(1, 100)
        assert stream.getvalue() == ""
        clock.now += 0.2
        meter(50, 100)
        first = stream.getvalue()
        assert first.startswith("\r 50%  50 bytes of 100 bytes")
        meter(51, 100)
        assert stream.getvalue() == first
        clock.now += 0.2
        meter(99, 100)
        assert "\r 99%" in stream.getvalue()
    assert stream.getvalue().endswith(" \r")
    assert "\n" not in stream.getvalue()


def test_it_is_quiet_where_there_is_no_terminal() -> None:
    stream, clock = io.StringIO(), Clock()
    with Meter(stream, clock) as meter:
        clock.now += 100
        meter(1, 2)
    assert stream.getvalue() == ""
    assert meter.progress is None
    assert Meter(Terminal(), clock).progress is not None


def test_it_is_taken_away_when_the_work_fails() -> None:
    stream, clock = Terminal(), Clock()

    def fail() -> None:
        with Meter(stream, clock) as meter:
            clock.now += 2
            meter(1, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert stream.getvalue().endswith(" \r")


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
    with Meter(stream, clock) as meter:
        clock.now += 10
        meter(100, 100)
        clock.now += 1
        meter(1, 100)
        clock.now += 5
        meter(50, 100)
        assert (
            stream.getvalue()
            .rstrip()
            .endswith(" 50%  50 bytes of 100 bytes  10 bytes/s  0:05 left")
        )


def test_it_makes_way_for_lines() -> None:
    stream, clock = Terminal(), Clock()
    with Meter(stream, clock) as meter:
        clock.now += 2
        meter(1, 2)
        shown = len(stream.getvalue()) - 1
        meter.clear()
        assert stream.getvalue().endswith("\r" + " " * shown + "\r")
        before = stream.getvalue()
        meter.clear()
    assert stream.getvalue() == before


def test_what_is_told_ends_with_the_total() -> None:
    seen: list[tuple[int, int]] = []
    pieces = [b"ab", b"", b"cde"]
    assert list(told(iter(pieces), lambda *count: seen.append(count), 4)) == pieces
    assert seen == [(2, 4), (2, 4), (4, 4)]
    assert list(told(iter(pieces), None, 4)) == pieces

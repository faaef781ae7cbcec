"""The status line of `zpp-image run` never mixes with the guest's output."""

from __future__ import annotations

import io
import random
import re
from typing import Any

import pytest

from efi_image.cli.run_viewer import RunViewer
from efi_image.cli.serial_console import Keyboard

COLUMNS = 40


class Screen(io.BytesIO):
    """A terminal that both streams write to."""

    encoding = "utf-8"

    @property
    def buffer(self) -> io.BytesIO:
        return self

    def isatty(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return super().write(data.encode() if isinstance(data, str) else data)  # type: ignore[arg-type]

    def lines(self) -> list[str]:
        """The screen of a terminal that knows CR, LF and EL (ECMA-48)."""
        text = re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue().decode())
        shown, column = [""], 0
        for piece in re.findall(r"\x1b\[K|.|\n|\r", text):
            if piece == "\x1b[K":
                shown[-1] = shown[-1][:column]
            elif piece == "\r":
                column = 0
            elif piece == "\n":
                shown.append("")
                column = 0
            else:
                shown[-1] = shown[-1][:column] + piece + shown[-1][column + 1 :]
                column += 1
        return shown


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def viewer_on(screen: Screen, clock: Clock, console: Keyboard | None = None) -> RunViewer:
    stream: Any = screen
    return RunViewer(console, out=stream, err=stream, clock=clock)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    return screen


def run(viewer: RunViewer, clock: Clock, *steps: str | float, stage: str = "zpp") -> None:
    for step in steps:
        if isinstance(step, str):
            viewer.show(step.encode(), step)
        else:
            clock.now += step
        viewer.tick(stage, clock.now)


def test_it_tells_the_stage_and_goes_away(screen: Screen) -> None:
    clock = Clock()
    viewer = viewer_on(screen, clock)
    run(viewer, clock, 2, stage="firmware")
    assert screen.lines() == ["zpp-image: 2 s: the firmware starts …"]
    run(viewer, clock, "zpp: hello\n", 0.1)
    assert screen.lines() == ["zpp: hello", ""]
    run(viewer, clock, 1)
    assert screen.lines() == ["zpp: hello", "zpp-image: 3 s: zpp starts …"]
    run(viewer, clock, "zpp: bye\n")
    viewer.finish()
    assert screen.lines() == ["zpp: hello", "zpp: bye", ""]


@pytest.mark.parametrize("text", ["login: ", "50%\r", "\x1b[5;1H"])
def test_it_stays_away_from_an_unfinished_line(screen: Screen, text: str) -> None:
    clock = Clock()
    viewer = viewer_on(screen, clock, Keyboard(0, 1))
    run(viewer, clock, "zpp: hello\r\n", 1, text)
    before = screen.getvalue()
    run(viewer, clock, 60)
    assert screen.getvalue() == before


def test_it_is_over_at_the_first_prompt_and_the_first_key(screen: Screen) -> None:
    clock, keyboard = Clock(), Keyboard(0, 1)
    viewer = viewer_on(screen, clock, keyboard)
    run(viewer, clock, "$ ", 1, "\r\n", 60, stage="kernel")
    assert "zpp-image" not in screen.getvalue().decode()
    viewer = viewer_on(screen, clock, keyboard)
    keyboard.used = True
    run(viewer, clock, 60)
    assert "zpp-image" not in screen.getvalue().decode()


def test_it_never_mixes_with_output(screen: Screen) -> None:
    """Property: at the end the terminal shows the guest's text and nothing else."""
    chance = random.Random(7)
    for _ in range(100):
        screen.seek(0)
        screen.truncate()
        clock = Clock()
        viewer = viewer_on(screen, clock)
        text = "".join(chance.choice(("a", "bc", "\n", "\n")) for _ in range(60))
        places = sorted(chance.sample(range(len(text)), 10))
        pieces = [text[i:j] for i, j in zip([0, *places], [*places, len(text)], strict=True)]
        run(viewer, clock, *(step for piece in pieces for step in (piece, chance.random() * 2)))
        viewer.finish()
        assert screen.lines() == (text + "\n" * (not text.endswith("\n"))).split("\n")


def test_narrow_terminals(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    clock = Clock()
    run(viewer_on(screen, clock), clock, 2)
    assert screen.lines() == ["zpp-image: "[:11]]


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_plain_terminals(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    clock = Clock()
    run(viewer_on(screen, clock), clock, 2)
    assert b"\x1b[2m" not in screen.getvalue()
    assert bool(screen.getvalue()) is (name == "NO_COLOR")


class Debugger:
    """A gdb that has the terminal until `status` is set."""

    status: int | None = None

    def poll(self) -> int | None:
        return self.status


def test_nothing_is_shown_while_a_debugger_has_the_terminal(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, debugger = Clock(), Debugger()
    viewer = viewer_on(screen, clock)
    busy: Any = debugger
    viewer.busy = busy
    viewer.say("an explanation")
    run(viewer, clock, "zpp: hello\n", 60, "zpp: bye\n")
    assert screen.getvalue() == b""
    assert capsys.readouterr().err == ""
    debugger.status = 0
    run(viewer, clock, 1)  # a guest that has become silent
    assert screen.lines() == ["zpp: hello", "zpp: bye", ""]
    assert "zpp-image: an explanation\n" in capsys.readouterr().err


class LateKeyboard(Keyboard):
    """A keyboard that notes what the screen showed when it was opened."""

    before: bytes | None = None

    def __init__(self, shown: Screen) -> None:
        super().__init__(0, 1)
        self._shown = shown

    def open(self) -> None:
        self.before = self._shown.getvalue()
        self.is_open = True


def test_output_right_after_the_debugger_follows_the_hint(screen: Screen) -> None:
    clock, debugger, keyboard = Clock(), Debugger(), LateKeyboard(screen)
    viewer = viewer_on(screen, clock, keyboard)
    busy: Any = debugger
    viewer.busy = busy
    run(viewer, clock, "zpp: hello\r\n")
    debugger.status = 0
    viewer.show(b"login: ", "login: ")  # before the viewer ticks
    assert keyboard.before == b""
    assert screen.lines() == ["zpp: hello", "login: "]

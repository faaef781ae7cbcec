"""ZppBoot's menu: on a serial line, on the screen, and the keys at the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from efi_word import Ending, word_program
from harness import EPYC, Harness, qemu_pc
from menu_images import boot_with, files, kernel, press, said, uki
from terminal import Session
from test_console import LIMIT, start

from efi_image.emulator import Debug, ExitReason
from efi_image.emulator.qmp import Qmp, QmpError
from efi_image.errors import ExitCode

PC = qemu_pc(EPYC, 2)
DOWN, ENTER, ESC = b"\x1b[B", b"\r", b"\x1b"
RUNS = "virtualized with AMD-V"
# of the selected line: the firmware's, and that of the enlarged text
GRAY = {1: b"\x98\x98\x98", 2: b"\xaa\xaa\xaa"}
COLUMNS, ROWS, WIDTH, HEIGHT = 80, 24, 8, 19  # of the text, and of a letter in pixels


@pytest.fixture
def run() -> Iterator[list[Session]]:
    sessions: list[Session] = []
    yield sessions
    for session in sessions:
        session.close()


def full_image(harness: Harness) -> Path:
    """Every kind of entry, and some that cannot be used."""
    contents: dict[str, bytes | str] = {
        "/loader/entries/old.conf": "title Text\nsort-key z\nversion 6.9\nefi /a.efi\n",
        "/loader/entries/new+3.conf": "title Text\nsort-key z\nversion 6.10\nefi /a.efi\n",
        "/loader/entries/first.conf": "title \u00c4 first\nsort-key a\nlinux /a.efi\n",
        "/loader/entries/bad+0-3.conf": "title Failed\nsort-key a\nefi a.efi\n",
        "/loader/entries/empty.conf": "title Nothing\n",
        "/loader/entries/arm.conf": "title Arm\narchitecture aa64\nefi /a.efi\n",
        "/loader/entries/note.txt": "efi /a.efi\n",
        "/EFI/Linux/linux.efi": uki("uki", 'PRETTY_NAME="Unified 1"\nID=u\n'),
        "/EFI/Linux/plain.efi": word_program("plain"),
        "/a.efi": word_program("a", Ending.POWER_OFF),
    }
    return harness.image(
        kernel=kernel(harness), menu_timeout=60, additions=files(harness, contents)
    )


def test_menu_on_a_serial_line(harness: Harness, run: list[Session]) -> None:
    """Each entry is in its place; the arrow keys, H and Enter work.

    The firmware shows a letter that the terminal may not have as `?`."""
    session = start(run, full_image(harness), "--emulator", "qemu", "--cpu-model", PC.model,
                    "--cpus", "2", "--log", harness.log)  # fmt: skip
    for line in (
        "empty.conf: it has neither linux nor efi",
        "plain.efi: it is not a unified kernel image for x86-64",
        "zpp boot menu", "> kernel", "  ? first", "  Unified 1", "  Text (6.10)", "  Text (6.9)",
        "  Failed", "  The firmware's next boot option", "  Firmware setup", "  Restart",
        "  Power off", "Hypervisor: on", "Starts in 60 s",
    ):  # fmt: skip
        session.wait_for(line.encode(), LIMIT)
    assert b"Nothing" not in session.seen
    assert b"Arm" not in session.seen
    session.type(DOWN)
    session.wait_for(b"> ? first")
    session.type(DOWN)
    session.wait_for(b"> Unified 1")
    session.type(b"h")
    session.wait_for(b"Hypervisor: off")
    session.wait_for(b"you turned it off in the menu")
    session.type(ENTER)
    assert session.end(LIMIT) == ExitCode.OK, session.seen
    text = harness.log.read_text()
    assert "zpp: no hypervisor: you turned it off in the menu" in text
    assert RUNS not in text
    assert said(text) == ["uki"]


def save_screen(file: Path) -> Callable[[Qmp], object]:
    def work(qmp: Qmp) -> None:
        time.sleep(1)  # the serial port has the line before the screen
        qmp.command("screendump", filename=str(file))

    return work


def pixel_rows(file: Path) -> list[bytes]:
    """The rows of a PPM file."""
    kind, size, depth, data = file.read_bytes().split(b"\n", 3)
    assert (kind, depth) == (b"P6", b"255")
    width, height = map(int, size.split())
    return [data[3 * width * row : 3 * width * (row + 1)] for row in range(height)]


@pytest.mark.parametrize(("width", "height", "scale"), [(1280, 800, 1), (1920, 1080, 2)])
def test_menu_on_the_screen(harness: Harness, width: int, height: int, scale: int) -> None:
    """The keyboard works, and a large screen has large letters."""
    picture = harness.folder / "screen.ppm"
    screen = ("-device", f"VGA,xres={width},yres={height},vgamem_mb=64")
    request = replace(
        harness.request(PC, full_image(harness)), expect=(r"> \? first",), debug=Debug(extra=screen)
    )
    boot_with(
        harness, request, ("Starts in 60 s", press("down")), ("> ? first", save_screen(picture))
    )
    rows = pixel_rows(picture)
    assert (len(rows[0]) // 3, len(rows)) == (width, height)
    bar = GRAY[scale] * (20 * WIDTH * scale)  # behind the title of the selected entry
    assert sum(bar in row for row in rows) == HEIGHT * scale
    is_doubled = all(rows[y] == rows[y + 1] for y in range(0, height, 2))
    assert is_doubled == (scale == 2)
    if scale == 2:
        left = (width - COLUMNS * WIDTH * scale) // 2
        top = (height - ROWS * HEIGHT * scale) // 2
        for row in rows[top : height - top]:
            pixels = [row[3 * x : 3 * x + 3] for x in range(left, width - left)]
            assert pixels[0::2] == pixels[1::2]
            assert not any(row[: 3 * left]), "the firmware's own small text is gone"


def test_default_and_countdown(harness: Harness) -> None:
    """The first good entry that matches, even if a bad one is newer."""
    contents: dict[str, bytes | str] = {
        "/loader/entries/os-3+0-1.conf": "title Three\nversion 3\nefi /b.efi\n",
        "/loader/entries/os-2.conf": "title Two\nversion 2\nefi /a.efi\n",
        "/loader/entries/os-1.conf": "title One\nversion 1\nefi /b.efi\n",
        "/a.efi": word_program("two", Ending.POWER_OFF),
        "/b.efi": word_program("other", Ending.POWER_OFF),
    }
    image = harness.image(
        kernel=kernel(harness),
        menu_timeout=2,
        default_entry="OS-*",
        additions=files(harness, contents),
    )
    serial = harness.run_to_power_off(harness.request(PC, image), PC.emulator)
    assert "> Two" in serial
    assert "Starts in 1 s" in serial
    assert RUNS in serial
    assert said(serial) == ["two"]


def test_a_key_shows_the_menu(harness: Harness) -> None:
    """Space, held from the start; an entry that does not start leads back to the menu."""
    contents = {"/loader/entries/gone.conf": "title Gone\nefi /gone.efi\n"}
    image = harness.image(kernel=kernel(harness), additions=files(harness, contents))
    steps = (
        ("BdsDxe: loading", hold("spc")),
        ("> kernel", press("down", "ret")),
        ("Press a key to return to the menu", press("ret")),
        ("> Gone", press("up", "ret")),
    )
    result = boot_with(harness, harness.request(PC, image), *steps)
    assert result.reason is ExitReason.POWER_OFF
    assert "zpp: cannot start \\gone.efi: Not Found" in result.serial
    assert RUNS in result.serial
    assert said(result.serial) == ["kernel"]


def hold(key: str) -> Callable[[Qmp], object]:
    """Holds a key down until ZppBoot has read it."""

    def work(qmp: Qmp) -> None:
        event = {"down": True, "key": {"type": "qcode", "data": key}}
        with suppress(QmpError):  # the machine is off
            for _ in range(10):
                qmp.command("input-send-event", events=[{"type": "key", "data": event}])
                time.sleep(0.1)

    return work


def test_ctrl_leaves_the_hypervisor_out_once(harness: Harness) -> None:
    image = harness.image(kernel=kernel(harness))
    result = boot_with(harness, harness.request(PC, image), ("BdsDxe: loading", hold("ctrl")))
    assert result.reason is ExitReason.POWER_OFF
    assert "zpp: no hypervisor: you pressed Esc or Ctrl" in result.serial
    assert RUNS not in result.serial
    assert said(result.serial) == ["kernel"]


def test_escape_on_a_serial_line(harness: Harness, run: list[Session]) -> None:
    image = harness.image(kernel=kernel(harness))
    session = start(run, image, "--emulator", "qemu", "--cpu-model", PC.model)
    session.wait_for(b"BdsDxe: loading", LIMIT)
    while b"zpp-word" not in session.seen and session.process.poll() is None:
        session.type(2 * ESC)  # the firmware waits for the rest of a sequence after one
        time.sleep(0.05)
        session.read()
    assert session.end(LIMIT) == ExitCode.OK
    assert b"zpp: no hypervisor: you pressed Esc or Ctrl" in session.seen

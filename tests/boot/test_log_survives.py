"""The core's log survives every kind of warm reset, and ZppBoot saves it at the next boot.

The guest program ZppLogTest ends one boot after the other in another way. Each boot first shows the
logs that ZppBoot has saved.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from harness import EPYC, HASWELL, Harness, Pc, qemu_pc
from test_crash import UD2, address_of, broken_harness

from efi_image.build.options import Addition
from efi_image.config.environment import load
from efi_image.debug.symbolize import symbolize
from efi_image.emulator import Debug, EmulatorKind
from efi_image.emulator.qmp import Qmp

DONE = r"^ZPP-LOG: done$"
SAID = re.compile(r"^zpp: the last boot ended with: (.+)$", re.MULTILINE)
CRASH = "zpp crashed: CPU 0: exception 6 in the host at image + "
FOLDER = "\\EFI\\zpp\\logs"


def with_ud2_first(core: bytes, symbols: Path, function: str) -> bytes:
    """The core with an undefined instruction at the start of a function."""
    start = address_of(symbols, function)
    return core[:start] + UD2 + core[start + len(UD2) :]


def saved(reason: str, number: int) -> str:
    """What ZppBoot says when it has saved a log."""
    return rf"{reason}; its log is {re.escape(FOLDER)}\\{number:08}\.txt"


def ends(harness: Harness, pc: Pc, *words: str, additions: tuple[Addition, ...] = ()) -> list[str]:
    """Boots a core that crashes when the guest reads its log, and ends the boots in these ways; the
    serial log of each boot."""
    broken = broken_harness(harness, "zpp::log::read(", with_ud2_first)
    image = broken.image(
        kernel=harness.build_directory / "ZppLogTest.efi",
        cmdline=f"ends={','.join(words)}",
        reset_after=1,
        boot_tries=0,
        additions=additions,
    )
    extra = () if pc.emulator is EmulatorKind.QEMU else ("cpu: reset_on_triple_fault=1",)
    request = replace(harness.request(pc, image), debug=Debug(extra=extra), expect=(DONE,))
    with (
        resetting(harness, request.debug) if "wait" in words else unchanged(request.debug) as debug
    ):
        serial = harness.boot(replace(request, debug=debug), pc.emulator).serial
    boots = re.split(r"^BdsDxe: starting .*$", serial, flags=re.MULTILINE)[1:]
    assert len(boots) == len(words) + 1
    for number, word in enumerate(words):
        assert f"ZPP-LOG: boot {number} ends by: {word}\n" in boots[number]
    return boots


@contextmanager
def unchanged(debug: Debug) -> Iterator[Debug]:
    yield debug


@contextmanager
def resetting(harness: Harness, debug: Debug) -> Iterator[Debug]:
    """QEMU, whose machine is reset from outside, as a watchdog does, when the guest waits."""
    socket = harness.folder / "monitor"
    over = threading.Event()

    def reset() -> None:
        qmp = Qmp(socket)
        while not over.is_set():
            if "ZPP-LOG: waiting\n" in harness.log.read_text(errors="replace"):
                qmp.command("system_reset")
                break
            time.sleep(0.1)
        qmp.close()

    thread = threading.Thread(target=reset)
    thread.start()
    try:
        extra = (*debug.extra, "-qmp", f"unix:{socket},server=on,wait=off")
        yield replace(debug, extra=extra)
    finally:
        over.set()
        thread.join()


def old_logs(folder: Path) -> tuple[Addition, ...]:
    """A folder with as many logs as ZppBoot keeps, and files that are not its own."""
    names = [*(f"{number:08}.txt" for number in range(3, 19)), "notes.txt", "0000001.txt"]
    for name in names:
        (folder / name).write_text(f"{name}\n")
    return tuple(Addition(folder / name, f"EFI/zpp/logs/{name}") for name in names)


def test_every_end_on_qemu(harness: Harness) -> None:
    folder = harness.folder / "logs"
    folder.mkdir()
    boots = ends(
        harness, qemu_pc(EPYC, 2), "crash", "keyboard", "wait", "clean",
        "short-variable", "wild-variable", "full", "in-the-way",
        additions=old_logs(folder),
    )  # fmt: skip
    said = [SAID.findall(boot) for boot in boots]
    way = rf"a reset; its log cannot be saved to {re.escape(FOLDER)}: "
    expected: tuple[list[str], ...] = (
        [], [saved(re.escape(CRASH) + r"\w+", 19)], [saved("a reset", 20)],
        [saved("a reset", 21)], [], [], [],
        [way + "the volume is full; delete files from it"], [way + "another file is in the way.*"],
    )  # fmt: skip
    for number, (found, wanted) in enumerate(zip(said, expected, strict=True)):
        assert len(found) == len(wanted), (number, found)
        for line, pattern in zip(found, wanted, strict=True):
            assert re.fullmatch(pattern, line), (number, line)
    assert "the UEFI variable ZppLogRecord is not valid" in boots[5]
    for boot in boots:
        assert len(re.findall("^zpp: CPU .* virtualized with", boot, re.MULTILINE)) == 2

    check_crash(harness, boots[0], boots[1])
    names = re.findall(r"^FILE: (.+)$", boots[4], re.MULTILINE)
    kept = [f"{number:08}.txt" for number in range(6, 22)]
    assert sorted(names) == sorted([*kept, "notes.txt", "0000001.txt"])


def check_crash(harness: Harness, crashed: str, next_boot: str) -> None:
    """The saved log is the crashed boot's, byte for byte, and leads to the source."""
    log = "\n".join(re.findall(r"^LOG: (.*)$", next_boot, re.MULTILINE))
    head, _, text = log.partition("\n\n")
    assert f"ended with: {CRASH}" in head
    assert re.search(r"^CPU: .+ \(CPUID\.1:EAX \w{8}\), \d CPUs$", head, re.MULTILINE)
    assert re.search(r"^firmware: .+, UEFI \d\.\d+$", head, re.MULTILINE)
    assert re.search(
        r"^saved: 20\d\d-\d\d-\d\d \d\d:\d\d by the machine's clock$", head, re.MULTILINE
    )
    assert "may be wrong" not in head
    serial = [
        line for line in crashed.splitlines() if re.match(r"zpp: (CPU|crash report|reset|  )", line)
    ]
    assert text.splitlines() == serial
    symbols = harness.build_directory / "hypervisor.debug.elf"
    lines = list(symbolize(log, symbols, load().toolchain / "llvm-symbolizer"))
    assert any(line.strip().startswith("zpp::log::read(") for line in lines)


@pytest.mark.parametrize("pc", [Pc(HASWELL, 1)], ids=str)
def test_log_survives_on_bochs(harness: Harness, pc: Pc) -> None:
    boots = ends(harness, pc, "crash", "triple")
    said = [SAID.findall(boot) for boot in boots]
    assert not said[0]
    assert re.fullmatch(saved(re.escape(CRASH) + r"\w+", 1), said[1][0])
    assert re.fullmatch(saved(r"CPU 0: triple fault in the guest at rip \w+", 2), said[2][0])
    check_crash(harness, boots[0], boots[1])

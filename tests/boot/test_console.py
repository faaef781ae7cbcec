"""`zpp-image run` as a person uses it: the console, and verdicts of real failures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from harness import CMDLINE, EPYC, HASWELL, Harness, Pc, free_port, qemu_pc
from terminal import TAKE_TERMINAL, Session
from test_crash import broken_harness

from efi_image.cli import main as cli
from efi_image.emulator import Devices, EmulatorKind, ExitReason, RunRequest
from efi_image.errors import ExitCode

PCS = (qemu_pc(EPYC, 1), Pc(HASWELL, 1))
PROGRAM = TAKE_TERMINAL + "import sys\nfrom efi_image.cli.main import main\nsys.exit(main())"
CTRL_RIGHT_BRACKET = b"\x1d"
LIMIT = 240  # seconds


@pytest.fixture
def run(tmp_path: Path) -> Iterator[list[Session]]:
    sessions: list[Session] = []
    yield sessions
    for session in sessions:
        session.close()


def start(run: list[Session], *words: str | Path) -> Session:
    environment = {**os.environ, "TERM": "xterm"}
    line = [sys.executable, "-c", PROGRAM, "run", *map(str, words)]
    run.append(Session(line, environment))
    return run[-1]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    image = tmp_path / "empty.img"
    image.write_bytes(bytes(1 << 20))
    return image


def listeners(port: int) -> list[str]:
    """The addresses on which this machine listens at a port, as in /proc/net/tcp."""
    rows = [line.split() for name in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]  # fmt: skip
    places = [row[1].split(":") for row in rows if row[3] == "0A"]
    return [address for address, number in places if int(number, 16) == port]


@pytest.mark.parametrize("pc", PCS, ids=str)
def test_a_shell_of_linux_on_zpp(harness: Harness, run: list[Session], pc: Pc) -> None:
    image = harness.linux_image("zpp.action=shell")
    log = harness.folder / "boot.log"
    session = start(run, image, "--emulator", pc.emulator.value, "--cpu-model", pc.model,
                    "--log", log)  # fmt: skip
    session.wait_for(b"zpp-guest: done", LIMIT)
    session.wait_for(b"# ")
    session.type(b"echo $((6 * 7)) is the answer\r")
    session.wait_for(b"42 is the answer")
    session.type(b"echo $((6 + 1)) sleeps; sleep 600\r")
    session.wait_for(b"7 sleeps")
    session.type(b"\x03")  # of the guest, not of this machine
    session.wait_for(b"^C")
    session.type(CTRL_RIGHT_BRACKET)
    assert session.end() == ExitCode.OK, session.seen
    assert b"you ended the run" in session.seen
    assert session.mode == session.before
    text = log.read_text()
    assert "virtualized with" in text  # from the first byte to the last
    assert "42 is the answer" in text


def test_the_shell_of_the_firmware(run: list[Session], empty: Path) -> None:
    """It reads the shared folder with its own driver, and sees the network card."""
    folder = empty.parent / "folder"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello from the host\n")
    picture = empty.parent / "screen.png"
    port = free_port()
    session = start(run, empty, "--emulator", "qemu", "--share", folder, "--forward", f"{port}:22",
                    "--screenshot", picture)  # fmt: skip
    session.wait_for(b"in 5 seconds", LIMIT)
    assert listeners(port) == ["0100007F"]  # 127.0.0.1, and no other address
    session.type(b"\x1b")
    for command, answer in (
        (b"connect -r", b"Shell> "),
        (b"map -r", b"FS0:"),
        (b"type fs0:\\hello.txt", b"hello from the host"),
        (b"ifconfig -l eth0", b"mac addr"),
    ):
        session.wait_for(b"Shell> ")
        session.type(command + b"\r")
        session.wait_for(answer if answer != b"Shell> " else b"\r\n")
    session.type(CTRL_RIGHT_BRACKET)
    assert session.end() == ExitCode.OK
    assert b"you ended the run" in session.seen
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_bochs_boots_from_the_shared_folder(harness: Harness, empty: Path) -> None:
    folder = empty.parent / "folder"
    (folder / "EFI/BOOT").mkdir(parents=True)
    (folder / "EFI/BOOT/BOOTX64.EFI").write_bytes(harness.bochs().divide.read_bytes())
    request = RunRequest(empty, devices=Devices(share=folder))
    assert "IDIV is correct" in harness.run_to_power_off(request, EmulatorKind.BOCHS)


def verdict(
    capsys: pytest.CaptureFixture[str], *words: str | Path
) -> tuple[int, dict[str, object]]:
    """The exit code and the JSON of a run without a console."""
    capsys.readouterr()
    code = cli.main(["run", *map(str, words), "--timeout", "500", "--json"])
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    return code, document


@pytest.mark.parametrize("pc", PCS, ids=str)
def test_a_crash_of_the_core(harness: Harness, capsys: pytest.CaptureFixture[str], pc: Pc) -> None:
    broken = broken_harness(harness, "zpp::emulate_cpuid(")
    image = broken.program_image(harness.build_directory / "ZppBoot.efi")
    code, document = verdict(capsys, image, "--emulator", pc.emulator.value, "--cpu-model",
                             pc.model, "--log", harness.log)  # fmt: skip
    assert code == ExitCode.VERDICT
    assert document["result"] == "guest-failed"
    assert "the core of zpp crashed" in str(document["reason"])
    assert "zpp: CPU 0 stopped" in harness.log.read_text()  # the report is complete


def test_a_kernel_panic(harness: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    image = harness.image(
        kernel=harness.build_directory / "linux-guest/vmlinuz",
        cmdline=CMDLINE,  # no initrd
    )
    picture = harness.folder / "screen.ppm"
    code, document = verdict(capsys, image, "--emulator", "qemu", "--screenshot", picture)
    assert code == ExitCode.VERDICT
    assert "the kernel panicked (VFS: Unable to mount root fs" in str(document["reason"])
    stages = document["stages"]
    assert isinstance(stages, dict)
    assert list(stages) == ["firmware", "zpp", "kernel"]
    assert picture.read_bytes()[:2] == b"P6"


@pytest.mark.parametrize(
    ("emulator", "reason"),
    [("qemu", "the firmware started its shell"), ("bochs", "the firmware found nothing to boot")],
)
def test_nothing_to_boot(
    empty: Path, capsys: pytest.CaptureFixture[str], emulator: str, reason: str
) -> None:
    code, document = verdict(capsys, empty, "--emulator", emulator)
    assert code == ExitCode.VERDICT
    assert reason in str(document["reason"])


def test_a_screen_at_the_power_off(harness: Harness) -> None:
    """QEMU would be gone before the screen is saved."""
    picture = harness.folder / "screen.png"
    request = harness.request(PCS[0], harness.linux_image("zpp.offline=0"))
    result = harness.boot(replace(request, devices=Devices(screenshot=picture)), EmulatorKind.QEMU)
    assert result.reason is ExitReason.POWER_OFF
    assert result.problems == ()
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

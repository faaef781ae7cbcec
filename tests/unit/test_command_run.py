"""`zpp-image run`: output and exit codes, with a fake emulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_emulator import FakeEmulator

from efi_image.cli import main as cli
from efi_image.cli import run
from efi_image.emulator import EmulatorKind, ExitReason
from efi_image.emulator.base import End
from efi_image.errors import ExitCode


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


class Tool:
    """The command on an image, with `emulator` whatever is chosen."""

    def __init__(
        self, image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.image = image
        self.emulator = FakeEmulator((b"zpp: \x1b[31mCPU 0\x1b[0m held\r\n", b"unfinished"))
        self.chosen: list[tuple[EmulatorKind, Path | None]] = []
        self._capsys = capsys
        monkeypatch.setattr(run, "choose", self._choose)

    def _choose(self, kind: EmulatorKind, root: Path | None) -> FakeEmulator:
        self.chosen.append((kind, root))
        return self.emulator

    def __call__(self, *options: str) -> Outcome:
        code = cli.main(["run", str(self.image), *options])
        return Outcome(code, *self._capsys.readouterr())


@pytest.fixture
def tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tool:
    image = tmp_path / "esp.img"
    image.write_bytes(bytes(512))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Tool(image, monkeypatch, capsys)


def test_power_off_without_expectation(tool: Tool) -> None:
    outcome = tool()
    assert outcome.code == ExitCode.OK
    assert outcome.out == "zpp: CPU 0 held\nunfinished\n"
    assert "no emulator; 1 CPU of model none\n" in outcome.err
    assert "the machine powered off" in outcome.err


def test_quiet(tool: Tool) -> None:
    assert tool("--quiet").out == ""


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--expect", "^zpp: CPU 0 held$"], ExitCode.OK, "1 expected text seen"),
        (["--expect", "CPU 0", "--expect", "CPU 1"], ExitCode.VERDICT, "not seen: 'CPU 1'"),
        (["--expect", "("], ExitCode.USAGE, "--expect: is not a regular expression"),
        (["--cpus", "0"], ExitCode.USAGE, "--cpus: must be at least 1"),
        (["--cpus", "many"], ExitCode.USAGE, "--cpus"),
        (["--emulator", "vmware"], ExitCode.USAGE, "'vmware' is not one of"),
        (["--firmware", "/no/such.fd"], ExitCode.INPUT, "/no/such.fd: cannot be read"),
        (["--log", "/"], ExitCode.OUTPUT, "cannot be written"),
    ],
)
def test_exit_codes(tool: Tool, options: list[str], code: ExitCode, words: str) -> None:
    outcome = tool(*options)
    assert outcome.code == code
    assert words in outcome.err
    assert "Traceback" not in outcome.err


def test_time_limit(tool: Tool) -> None:
    tool.emulator = FakeEmulator((b"hello\n",), linger=60)
    outcome = tool("--timeout", "0.5", "--expect", "never")
    assert outcome.code == ExitCode.TIMEOUT
    assert "not seen: 'never' within 0.5 s" in outcome.err
    assert "the command line was (--keep-work keeps its folder):" in outcome.err


def test_failed_emulator(tool: Tool) -> None:
    tool.emulator = FakeEmulator((b"hello",), log="VMENTER FAIL: guest CR0\n", status=9)
    outcome = tool()
    assert outcome.code == ExitCode.EMULATOR
    assert outcome.out == "hello\n"
    assert "zpp-image: fake failed with exit status 9\n" in outcome.err
    assert "  VMENTER FAIL: guest CR0\n" in outcome.err
    assert "the command line was:" in outcome.err


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (End(ExitReason.GUEST_CODE, 0), "the guest ended with debug-exit code 0"),
        (End(ExitReason.GUEST_CODE, 33), "the guest ended with debug-exit code 33"),
        (End(ExitReason.SHUTDOWN_PORT), "the guest ended by the shutdown port"),
    ],
)
def test_guest_that_ends_the_run(tool: Tool, end: End, words: str) -> None:
    tool.emulator = FakeEmulator((b"hello\n",), status=1, failure=end)
    outcome = tool()
    assert outcome.code == ExitCode.OK
    assert f"zpp-image: {words} (" in outcome.err
    outcome = tool("--expect", "hello", "--until-power-off")  # not before the emulator ends
    assert outcome.code == ExitCode.OK
    assert f"{words}, 1 expected text seen (" in outcome.err
    outcome = tool("--expect", "never")
    assert outcome.code == ExitCode.VERDICT
    assert f"{words} (fake), but not seen: 'never'" in outcome.err


def test_missing_image(tool: Tool) -> None:
    tool.image.unlink()
    assert tool().code == ExitCode.INPUT
    assert tool.chosen == []


def test_options_reach_the_choice(tool: Tool, tmp_path: Path) -> None:
    tool("--emulator", "bochs", "--bochs-root", str(tmp_path))
    assert tool.chosen == [(EmulatorKind.BOCHS, tmp_path)]


def test_old_name_of_the_option(tool: Tool) -> None:
    for words in (["--engine", "bochs"], ["--engine=bochs"]):
        tool(*words)
    assert tool.chosen == 2 * [(EmulatorKind.BOCHS, None)]
    assert "--engine" not in tool("--help").out


def test_missing_bochs(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    outcome = tool("--emulator", "bochs", "--bochs-root", str(tmp_path / "none"))
    assert outcome.code == ExitCode.MISSING
    assert "the Bochs root is missing; install it with `zpp-image bochs install`" in outcome.err

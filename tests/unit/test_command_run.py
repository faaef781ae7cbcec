"""`zpp-image run`: output and exit codes, with a fake emulator."""

from __future__ import annotations

import json
from pathlib import Path

import oracles
import pytest
from fake_emulator import FakeEmulator
from outcome import Outcome, call

from efi_image.cli import run
from efi_image.emulator import EmulatorKind, ExitReason, RunRequest
from efi_image.emulator.base import End, Launch
from efi_image.errors import ExitCode


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
        return call(self._capsys, "run", self.image, *options)


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
        (["--expect", "^zpp: CPU 0 held$"], ExitCode.OK, "all expected text was seen (0."),
        (["--expect", "CPU 0", "--expect", "CPU 1"], ExitCode.VERDICT, "not seen: 'CPU 1'"),
        (["--expect", "("], ExitCode.USAGE, "--expect: is not a regular expression"),
        (["--cpus", "0"], ExitCode.USAGE, "--cpus: must be at least 1"),
        (["--cpus", "many"], ExitCode.USAGE, "--cpus"),
        (["--emulator", "vmware"], ExitCode.USAGE, "'vmware' is not one of"),
        (["--firmware", "/no/such.fd"], ExitCode.INPUT, "/no/such.fd: cannot be read"),
        (["--log", "/"], ExitCode.OUTPUT, "cannot be written"),
        (["--forward", "22"], ExitCode.USAGE, "--forward: is not HOSTPORT:GUESTPORT"),
        (["--network", "bridge"], ExitCode.USAGE, "'bridge' is not one of"),
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
    assert outcome.err.splitlines()[1:-1] == ["the serial port's last lines:", "  hello"]
    outcome = tool("--timeout", "0.5", "--expect", "never", "--keep-work")
    assert "the command line was:" in outcome.err.splitlines()[1]


def test_failed_emulator(tool: Tool) -> None:
    """The last line is the most useful one: the reason, and what to do."""
    log = "warning, as always\n" * 9 + "VMENTER FAIL: guest CR0\n"
    tool.emulator = FakeEmulator((b"hello",), log=log, status=9)
    outcome = tool()
    assert outcome.code == ExitCode.EMULATOR
    assert outcome.out == "hello\n"
    lines = outcome.err.splitlines()
    assert lines[1] == "the command line was (--keep-work keeps its directory):"
    assert lines[-8:] == [
        "the serial port's last lines:", "  hello",
        "the emulator's last lines:", "  VMENTER FAIL: guest CR0", "  the fake emulator ends",
        "from the emulator's log:", "  VMENTER FAIL: guest CR0",
        "zpp-image: the emulator failed: fake ended with exit status 9; its last lines are above; "
        "--log FILE keeps them all",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("emulator", "words"),
    [
        (FakeEmulator(status=1, failure=End(None, how="was ended by signal 15 from pid 7 (sh)")),
         "fake was ended by signal 15 from pid 7 (sh); its last lines are above"),
        (FakeEmulator(child="import os; os.kill(os.getppid(), 9)", linger=20),
         "fake was killed by SIGKILL; `dmesg` says whether memory ran out"),
        (FakeEmulator(child="import os; os.kill(os.getppid(), 11)", linger=20),
         "fake was killed by SIGSEGV; "),
    ],
)  # fmt: skip
def test_killed_emulator(tool: Tool, emulator: FakeEmulator, words: str) -> None:
    tool.emulator = emulator
    outcome = tool()
    assert outcome.code == ExitCode.EMULATOR
    assert f"zpp-image: the emulator failed: {words}" in outcome.err.splitlines()[-1]


def test_problems_are_told_once(tool: Tool) -> None:
    tool.emulator = FakeEmulator((b"hello\n",), log="VMENTER FAIL: guest CR0\n")
    for options in ([], ["--expect", "never"], ["--json"], ["--json", "--expect", "never"]):
        assert tool(*options).err.count("VMENTER FAIL") == 1


KERNEL = (b"zpp: starting \\EFI\\zpp\\kernel.efi\r\n", b"EFI stub: Loaded initrd from x\r\n")
SILENT = (
    "; the started system printed nothing; Linux needs console=ttyS0,115200 in its command line\n"
)


@pytest.mark.parametrize(
    ("more", "is_silent"),
    [((), True), ((b"zpp: CPU 1 stopped\r\n",), True), ((b"[    0.000000] Linux\r\n",), False)],
)
def test_silent_kernel(tool: Tool, more: tuple[bytes, ...], is_silent: bool) -> None:
    tool.emulator = FakeEmulator((*KERNEL, *more), linger=60)
    for options in ([], ["--expect", "never"]):
        outcome = tool("--timeout", "0.5", "--no-verdicts", *options)
        assert outcome.code == ExitCode.TIMEOUT
        assert outcome.err.endswith(SILENT) == is_silent
    tool.emulator = FakeEmulator((*KERNEL, *more))
    assert tool("--expect", "never").err.endswith(SILENT) == is_silent
    assert tool().err.endswith(SILENT) == is_silent
    assert not tool("--expect", "zpp").err.endswith(SILENT)
    tool.emulator = FakeEmulator((b"hello\r\n", *KERNEL[1:], *more))
    assert tool("--expect", "never").err.endswith(SILENT) == is_silent
    tool.emulator = FakeEmulator((b"hello\r\n",))
    assert not tool("--expect", "never").err.endswith(SILENT)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (End(ExitReason.GUEST_CODE, 0), "the guest ended with debug-exit code 0"),
        (End(ExitReason.GUEST_CODE, 33), "the guest ended with debug-exit code 33"),
        (End(ExitReason.SHUTDOWN_PORT), "the guest ended through the shutdown port"),
    ],
)
def test_guest_that_ends_the_run(tool: Tool, end: End, words: str) -> None:
    tool.emulator = FakeEmulator((b"hello\n",), status=1, failure=end)
    outcome = tool()
    assert outcome.code == ExitCode.OK
    assert f"zpp-image: {words} (" in outcome.err
    outcome = tool("--expect", "hello", "--until-power-off")  # not before the emulator ends
    assert outcome.code == ExitCode.OK
    assert f"{words}; all expected text was seen (" in outcome.err
    outcome = tool("--expect", "never")
    assert outcome.code == ExitCode.VERDICT
    assert f"{words} (fake), but not seen: 'never'" in outcome.err


def test_json_has_the_result_and_nothing_else(tool: Tool, tmp_path: Path) -> None:
    log = tmp_path / "boot.log"
    outcome = tool("--json", "--log", str(log))
    assert outcome.code == ExitCode.OK
    document = json.loads(outcome.out)
    assert document["version"] == 1
    assert (document["result"], document["exit_code"]) == ("power-off", 0)
    assert document["reason"] == "the machine powered off"
    assert list(document["stages"]) == ["firmware", "zpp"]
    assert document["log"] == str(log)
    assert "zpp: CPU 0 held" in log.read_text()


@pytest.mark.parametrize(
    ("emulator", "options", "code", "result", "reason"),
    [
        (FakeEmulator((b"hello",)), ["--expect", "bye"], 1, "power-off", "not seen: 'bye'"),
        (FakeEmulator(linger=60), ["--timeout", "0.5"], 8, "timeout", "did not power off"),
        (FakeEmulator((b"Kernel panic - not syncing: x\n",), linger=60), [], 1, "guest-failed",
         "the guest failed: the kernel panicked (x)"),
        (FakeEmulator((b"hello",), linger=60), ["--expect", "hello"], 0, "expected", "was seen"),
    ],
)  # fmt: skip
def test_json_of_failed_runs(
    tool: Tool, emulator: FakeEmulator, options: list[str], code: int, result: str, reason: str
) -> None:
    tool.emulator = emulator
    outcome = tool("--json", *options)
    document = json.loads(outcome.out)
    assert outcome.code == document["exit_code"] == code
    assert document["result"] == result
    assert reason in document["reason"]
    if code:
        assert reason in outcome.err


def test_a_guest_that_failed(tool: Tool) -> None:
    panic = b"[    2.0] Kernel panic - not syncing: no init\r\n"
    tool.emulator = FakeEmulator((panic,), linger=60)
    outcome = tool()
    assert outcome.code == ExitCode.VERDICT
    words = "the guest failed: the kernel panicked (no init) (fake); --no-verdicts continues"
    assert words in outcome.err
    assert "Kernel panic" in outcome.out
    tool.emulator = FakeEmulator((panic,), linger=4)
    for option in ("--until-power-off", "--no-verdicts"):
        assert tool(option).code == ExitCode.OK


def test_default_time_limit(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_TIME_LIMIT", 0.5)
    tool.emulator = FakeEmulator(linger=4)
    outcome = tool()
    assert outcome.code == ExitCode.TIMEOUT
    assert "within 0.5 s (fake); --timeout 0 sets no limit" in outcome.err
    assert tool("--timeout", "0").code == ExitCode.OK


def test_shared_folder(tool: Tool, tmp_path: Path) -> None:
    """The oracle is mtools."""
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/hello.txt").write_text("hello\n")
    seen: list[str] = []

    class Reader(FakeEmulator):
        def prepare(self, request: RunRequest, work: Path) -> Launch:
            share = request.devices.share
            assert share is not None
            seen.append(oracles.run("mtype", "-i", share, "::sub/hello.txt"))
            return super().prepare(request, work)

    tool.emulator = Reader()
    assert tool("--share", str(folder)).code == ExitCode.OK
    assert seen == ["hello\n"]
    outcome = tool("--share", str(folder / "none"))
    assert outcome.code == ExitCode.INPUT
    assert "none: is not a directory" in outcome.err


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("screen.jpg", ExitCode.USAGE, "ends neither in .png nor in .ppm"),
        ("none/screen.png", ExitCode.OUTPUT, "its directory does not exist"),
        ("link.png", ExitCode.USAGE, "is also an input"),
    ],
)
def test_screenshots_that_cannot_be_saved(
    tool: Tool, tmp_path: Path, name: str, code: ExitCode, words: str
) -> None:
    (tmp_path / "link.png").symlink_to(tool.image)
    outcome = tool("--screenshot", str(tmp_path / name))
    assert outcome.code == code
    assert words in outcome.err


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

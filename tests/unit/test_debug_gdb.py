"""`zpp-image run --gdb --debug`: who may connect, and gdb on the terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_emulator import FakeEmulator

from efi_image.cli import main as cli
from efi_image.cli import run
from efi_image.config.environment import COMMITTED, Config, load
from efi_image.debug import gdb as debugger
from efi_image.debug.scripts import SYMBOLS
from efi_image.emulator import EmulatorKind, RunRequest
from efi_image.emulator.base import Launch
from efi_image.errors import ExitCode, InputError, MissingError, UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("address", ["localhost:1234", "127.0.0.1:1", "127.8.8.8:99", "[::1]:1234"])
def test_loopback(address: str) -> None:
    assert debugger.check_address(address) == address


@pytest.mark.parametrize(
    "address", ["0.0.0.0:1234", "[::]:1234", "10.0.0.1:1234", "example:1234", "localhost.test:1"]
)
def test_other_machines_are_kept_out(address: str) -> None:
    with pytest.raises(UsageError, match="other machines could reach a GDB server"):
        debugger.check_address(address)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        *((text, "must be HOST:PORT") for text in ("", "localhost", ":1234", "localhost:1234x")),
        ("tcp:localhost:1234", "must be HOST:PORT"),
        ("localhost:0", "must have a port from 1 to 65535"),
        ("localhost:99999", "must have a port from 1 to 65535"),
    ],
)
def test_not_an_address(address: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"^--gdb: {words}, not '{address}'; use --gdb=localhost"):
        debugger.check_address(address)


class _Recorder(FakeEmulator):
    requests: tuple[RunRequest, ...] = ()

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        object.__setattr__(self, "requests", (*self.requests, request))
        return super().prepare(request, work)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Recorder:
    (tmp_path / "esp.img").write_bytes(bytes(512))
    recorder = _Recorder((b"hello\n",))
    monkeypatch.setattr(run, "choose", lambda _kind, _root: recorder)
    monkeypatch.setenv("GDB_SERVER_ADDRESS", "localhost:4567")
    return recorder


@pytest.mark.parametrize(
    ("words", "address"),
    [([], ""), (["--gdb"], "localhost:4567"), (["--gdb=127.0.0.1:99"], "127.0.0.1:99")],
)
def test_address(emulator: _Recorder, tmp_path: Path, words: list[str], address: str) -> None:
    # the image stands behind --gdb, which must not take it for its value
    assert cli.main(["run", *words, str(tmp_path / "esp.img")]) == ExitCode.OK
    assert [(r.debug.gdb, r.debug.stopped) for r in emulator.requests] == [(address, False)]


def test_foreign_address_starts_nothing(emulator: _Recorder, tmp_path: Path) -> None:
    code = cli.main(["run", str(tmp_path / "esp.img"), "--gdb=0.0.0.0:1234"])
    assert code == ExitCode.USAGE
    assert emulator.requests == ()


@pytest.fixture
def checkout(emulator: _Recorder, tmp_path: Path) -> Config:
    """A checkout that is built."""
    (tmp_path / COMMITTED).touch()
    (tmp_path / "hypervisor").symlink_to(ROOT / "hypervisor")
    config = load(tmp_path)
    config.build_directory.mkdir(parents=True)
    (config.build_directory / SYMBOLS).touch()
    return config


def put_gdb(checkout: Config, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A gdb that the test makes, for `run` in that checkout."""
    assert checkout.root is not None
    program = checkout.root / "gdb"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(checkout.root), prepend=os.pathsep)
    monkeypatch.setattr(run, "load", lambda: checkout)


def test_debug_opens_gdb_before_the_serial_text(
    emulator: _Recorder,
    checkout: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    put_gdb(checkout, monkeypatch, 'printf "%s\\n" "$@"\nsleep 0.5\necho left')
    init = checkout.scripts_directory / "gdbinit"
    assert cli.main(["run", str(tmp_path / "esp.img"), "--debug"]) == ExitCode.OK
    lines = capfd.readouterr().out.splitlines()
    assert lines == ["-q", "-x", str(init), "-ex", "target remote localhost:4567",
                     "-ex", "zwait", "-ex", "zstartl", "left", "hello"]  # fmt: skip
    assert emulator.requests[0].debug.stopped
    assert f"source {init.parent}/zpp_gdb.py" in init.read_text().splitlines()


def test_gdb_tells_how_to_connect(
    emulator: _Recorder,
    checkout: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put_gdb(checkout, monkeypatch, "")
    assert cli.main(["run", str(tmp_path / "esp.img"), "--gdb=localhost:99"]) == ExitCode.OK
    lines = capsys.readouterr().err.splitlines()
    init = checkout.scripts_directory / "gdbinit"
    assert lines[1:3] == [
        "zpp-image: a GDB server listens at localhost:99; connect from another terminal with",
        f"zpp-image:   gdb -q -x {init} -ex 'target remote localhost:99'",
    ]
    assert init.is_file()
    (checkout.build_directory / SYMBOLS).unlink()
    assert cli.main(["run", str(tmp_path / "esp.img"), "--gdb"]) == ExitCode.OK
    assert "listens at localhost:4567, but" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--emulator", "bochs"], "Bochs has no GDB server; use --emulator qemu"),
        ([], "a bad request"),
        (["--json"], "--debug: gdb prints on the terminal, which --json excludes"),
        (["--stdin"], "--stdin: gdb reads standard input itself; use --gdb"),
        (["--gdb=localhost:99999"], "--gdb: must have a port from 1 to 65535"),
    ],
)
def test_gdb_is_not_started_in_vain(
    emulator: _Recorder,
    checkout: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    """The advice to install Bochs comes only where it helps."""
    put_gdb(checkout, monkeypatch, "echo gdb has started")
    refusing = _Recorder(refusal=UsageError("a bad request"))

    def chosen(kind: EmulatorKind, _root: Path | None) -> _Recorder:
        assert kind is not EmulatorKind.BOCHS
        return refusing

    monkeypatch.setattr(run, "choose", chosen)
    code = cli.main(["run", str(tmp_path / "esp.img"), "--debug", *words])
    printed = capfd.readouterr()
    assert code == ExitCode.USAGE
    assert message in printed.err
    assert "gdb has started" not in printed.out
    assert refusing.requests == ()


def test_gdb_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="gdb is not installed"):
        debugger.command(load(), "localhost:1")


def test_symbols_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gdb").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / COMMITTED).touch()
    with pytest.raises(InputError, match=r"hypervisor.debug.elf: does not exist"):
        debugger.command(load(tmp_path), "localhost:1")

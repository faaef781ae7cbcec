"""`zpp-image status`, `counters`, `log` and `booted`: the hypervisor under this Linux.

tests/boot/test_linux_client.py runs them with the files of a booted Linux."""

from __future__ import annotations

import errno
import json
import struct
from pathlib import Path

import client_files
import pytest
from client_files import EXITS, LOG, STATE

from efi_image.cli import booted
from efi_image.cli.main import main
from efi_image.client import boot_record, hypervisor
from efi_image.client.hypervisor import Counter, Cpu, read_counters, read_log, read_status
from efi_image.devices.efivars import ZPP, Efivars
from efi_image.errors import ExitCode, InputError, ZppError
from efi_image.formats.vm_trace import Vendor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return client_files.write(tmp_path / "zpp")


def test_files_are_read(folder: Path) -> None:
    status = read_status(folder)
    assert (status.zpp_version, status.vendor, status.cpu_count) == ("0.1.0", Vendor.AMDV, 3)
    assert status.memory == 1145 * 4096
    assert status.cpus == (
        Cpu(0, "virtualized", 0), Cpu(1, "virtualized", 2), Cpu(2, "offline"), Cpu(3, "bare"),
    )  # fmt: skip
    assert read_counters(folder)[-1] == Counter(2, 0xBF, 2)
    assert read_log(folder) == LOG


def test_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(folder)]) == 0
    assert (
        capsys.readouterr().out
        == """\
zpp 0.1.0, AMD-V, 3 CPUs, 4.5 MiB of memory

CPU  STATE        ZPP'S NUMBER  VM EXITS
  0  virtualized             0     1,007
  1  virtualized             2       236
  2  offline
  3  bare
"""
    )


def test_counters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["counters", str(folder)]) == 0
    assert (
        capsys.readouterr().out
        == """\
VM EXIT  REASON  ALL CPUS  CPU 0  CPU 2
CPUID      0x72     1,234  1,000    234
NPF        0xa8         7      7      0
others     0xbf         2      0      2
"""
    )
    assert main(["counters", str(folder), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["exits"][0]
    assert (first["name"], first["count"]) == ("CPUID", 1234)
    assert first["cpus"] == [{"index": 0, "count": 1000}, {"index": 2, "count": 234}]


def test_vtx_has_its_own_reasons(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "state").write_text(STATE.replace("AMD-V", "VT-x"))
    (folder / "exits").write_text("cpu reason count\n0 0xa 3\n")
    assert main(["counters", str(folder)]) == 0
    assert "CPUID       0xa         3" in capsys.readouterr().out


def test_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", str(folder)]) == 0
    assert capsys.readouterr().out == LOG


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("state", ""),
        ("state", STATE.replace("pages 1145\n", "")),
        ("state", STATE.replace("cpus 3", "cpus three")),
        ("state", STATE.replace("AMD-V", "magic")),
        ("state", STATE.replace("index 2", "index")),
        ("exits", EXITS + "2 0x73\n"),
        ("exits", EXITS.replace("0xbf", "none")),
    ],
)
def test_files_that_are_not_valid(
    name: str, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(text)
    assert main(["counters", str(folder)]) == ExitCode.INPUT
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert str(folder / name) in told.err


@pytest.mark.parametrize("command", ["status", "counters", "log"])
def test_copy_that_is_not_there(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path / "none")]) == ExitCode.INPUT
    assert capsys.readouterr().err.count("No such file or directory") == 1


def refusal(monkeypatch: pytest.MonkeyPatch, error: int, *, mounted: bool) -> str:
    """The line for an error of the running Linux."""

    def refuse(_path: Path, **_options: str) -> str:
        raise OSError(error, "refused")

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(Path, "is_mount", lambda _path: mounted)
    with pytest.raises(ZppError) as caught:
        read_log(hypervisor.FOLDER)
    assert not isinstance(caught.value, InputError)
    assert caught.value.exit_code is ExitCode.MISSING
    return str(caught.value)


def test_why_the_running_linux_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, errno.EACCES, mounted=True).endswith("run this as root")
    assert "mount -t debugfs" in refusal(monkeypatch, errno.ENOENT, mounted=False)
    assert refusal(monkeypatch, errno.ENOENT, mounted=True).startswith("zpp.ko: is not loaded")
    assert "no longer runs" in refusal(monkeypatch, errno.ENODEV, mounted=True)


# ---- booted

RECORD = f"{boot_record.NAME}-{ZPP}"


def record(state: int, *, version: int = 1, size: int = 20) -> bytes:
    """The variable as efivarfs shows it: attributes, then zpp/boot_record.h."""
    return (struct.pack("<IBBB5xQ", 7, version, 2, state, 800_000_000) + bytes(4))[:size]


@pytest.fixture
def variables(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The running Linux: zpp is there, and these are its UEFI variables."""
    place = tmp_path / "efivars"
    place.mkdir()
    (place / "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(bytes(8))
    monkeypatch.setattr(booted, "read_status", lambda: read_status(folder))
    monkeypatch.setattr(booted, "VARIABLES", Efivars(place))
    return place


def test_started_boot_is_reported(variables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (variables / RECORD).write_bytes(record(0))
    assert main(["booted"]) == 0
    assert not (variables / RECORD).exists()
    assert main(["booted"]) == 0
    assert capsys.readouterr().out == (
        "this boot completed; boots counted until now: 2\nno boot is counted: nothing to do\n"
    )


def test_hypervisor_that_is_left_out_stays_out(
    variables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (variables / RECORD).write_bytes(record(1))
    assert main(["booted"]) == 0
    assert (variables / RECORD).read_bytes() == record(1)
    assert "turn it on in ZppBoot's menu" in capsys.readouterr().out


@pytest.mark.parametrize("data", [record(0, size=5), record(0, size=19), record(0, size=21),
                                  record(2), record(0, version=2)])  # fmt: skip
def test_record_that_is_not_valid(
    data: bytes, variables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (variables / RECORD).write_bytes(data)
    assert main(["booted"]) == ExitCode.INPUT
    assert (variables / RECORD).read_bytes() == data
    assert capsys.readouterr().err.count("\n") == 1


def test_machine_without_uefi_variables(
    variables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in variables.iterdir():
        file.unlink()
    assert main(["booted"]) == ExitCode.MISSING
    assert "mount -t efivarfs" in capsys.readouterr().err


def test_record_that_cannot_be_deleted(
    variables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (variables / RECORD).write_bytes(record(0))

    def refuse(_path: Path, **_options: bool) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert main(["booted"]) == ExitCode.OUTPUT
    told = capsys.readouterr()
    assert told.out == ""
    assert "Operation not permitted; run as root" in told.err


def test_record_is_the_contract_s() -> None:
    header = (Path(__file__).parents[2] / "hypervisor/include/zpp/boot_record.h").read_text()
    assert f'#define ZPP_BOOT_RECORD_NAME "{boot_record.NAME}"' in header
    assert f"GUID: {ZPP}." in header
    assert "#define ZPP_BOOT_RECORD_VERSION 1u" in header

"""`zpp-image doctor`: the recorded machines, the running Linux, and files with faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from test_json_schemas import validator

from efi_image.cli.main import main
from efi_image.devices.efivars import GLOBAL
from efi_image.doctor import linux
from efi_image.doctor.capture import capture
from efi_image.doctor.machine import Cpu, Firmware, Machine, Registers, load, parse, to_text
from efi_image.doctor.report import notes
from efi_image.doctor.requirements import CAPTURED_MSRS, FIXES, REASONS, ZPP_KEY, ZPP_LEAF
from efi_image.doctor.verdict import checks, diagnose
from efi_image.errors import ExitCode, InputError, MissingError

MACHINES = Path(__file__).parents[1] / "host/machines"
FILES = sorted(MACHINES.glob("*.json"))
PPIN = {0x4E, 0x4F, 0xC00102F0, 0xC00102F1}  # protected processor inventory number


class Recorded:
    """Reads a recorded CPU; an MSR that was not recorded does not exist."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    def cpuid(self, leaf: int, subleaf: int) -> Registers:
        assert leaf != 3, "the serial number of a Pentium III"
        return self._cpu.registers(leaf, subleaf)

    def rdmsr(self, index: int) -> int | None:
        return self._cpu.msrs.get(index)

    def close(self) -> None:
        pass


def test_there_are_machines() -> None:
    assert len(FILES) >= 24


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_verdict_is_that_of_the_file(file: Path) -> None:
    """tests/host/test_machines.cpp compares it with the core's and with ZppBoot's."""
    machine = load(file)
    assert diagnose(machine).record() == machine.verdict


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_file_is_as_the_schema_says_and_as_it_would_be_written(file: Path) -> None:
    text = file.read_text()
    assert [error.message for error in validator("machine").iter_errors(json.loads(text))] == []
    assert to_text(load(file)) == text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_recording_again_gives_the_same(file: Path) -> None:
    for cpu in load(file).cpus:
        again = capture(Recorded(cpu))
        assert again.cpuid == cpu.cpuid
        assert again.msrs == cpu.msrs


def test_no_serial_number_is_recorded() -> None:
    recorded = {index for row in CAPTURED_MSRS for index in range(row.first, row.first + row.count)}
    assert not recorded & PPIN


# ---- files with faults

GOOD = {"format": "zpp-machine", "version": 1, "cpus": [{"cpuid": {}, "msrs": {}}]}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"format": "x"}, 'is not a recorded machine: "format" is not "zpp-machine"'),
        ({"version": 2}, "has version 2; this zpp-image reads 1"),
        ({"cpus": []}, "has no CPUs"),
        ({"cpus": {}}, "cpus is not a list"),
        ({"cpus": [1]}, "cpus[0] is not an object"),
        ({"cpus": [{"cpuid": {"1": "0"}}]}, "cpus[0]: 1 is not a leaf of CPUID that is recorded"),
        ({"cpus": [{"cpuid": {"00000003.00": None}}]}, "is not a leaf of CPUID that is recorded"),
        ({"cpus": [{"cpuid": {"00000001.00": "0"}}]}, "leaf 00000001.00 does not have four"),
        ({"cpus": [{"msrs": {"3a": "5"}}]}, "cpus[0]: 3a is not the number of an MSR"),
        ({"cpus": [{"msrs": {"0000003a": 5}}]}, "MSR 0000003a is not a hexadecimal number"),
        ({"cpus": [{"cr4": "g"}]}, "cpus[0].cr4 is not a hexadecimal number"),
        ({"firmware": 1}, "firmware is not an object"),
        ({"firmware": {"type": "x"}}, "firmware is neither UEFI nor BIOS"),
        ({"firmware": {"secure_boot": 1}}, "secure_boot is not true, false or null"),
        ({"firmware": {"vendor": 1}}, "vendor is not a string"),
        ({"memory": [["0", "1"]]}, "a range of memory is not [start, end, type]"),
        ({"memory": [["0", "1", "x"]]}, "a range of memory is not [start, end, type]"),
    ],
)
def test_faults_are_named(change: Mapping[str, object], what: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(json.dumps({**GOOD, **change}).encode(), "m.json")
    assert str(caught.value).startswith("m.json: ")
    assert what in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null"])
def test_what_is_not_a_machine_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        parse(data, "m.json")


def test_file_without_the_msrs_that_decide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = load(MACHINES / "haswell.json")
    file = tmp_path / "m.json"
    file.write_text(to_text(replace(machine, cpus=(replace(machine.cpus[0], msrs={}),))))
    assert main(["doctor", str(file)]) == ExitCode.INPUT
    error = capsys.readouterr().err
    assert error == f"zpp-image: {file}: lacks MSRs of CPU 0 that the answer depends on\n"


# ---- the verdict


def with_hypervisor(cpu: Cpu) -> Cpu:
    eax, ebx, ecx, edx = cpu.registers(1)
    return replace(cpu, cpuid={**cpu.cpuid, (1, 0): (eax, ebx, ecx | 1 << 31, edx)})


@pytest.mark.parametrize("name", ["vtx-locked-off", "svm-disabled"])
def test_no_firmware_setting_helps_in_a_virtual_machine(name: str) -> None:
    machine = load(MACHINES / f"{name}.json")
    guest = replace(machine, cpus=tuple(map(with_hypervisor, machine.cpus)))
    assert diagnose(machine).fix in (FIXES["VTX"], FIXES["AMDV"])
    assert diagnose(guest).fix == FIXES["NESTED"]


def test_zpp_itself_is_recognized() -> None:
    signature = tuple(int.from_bytes(w, "little") for w in (b"ZppZ", b"ppZp", b"pZpp"))
    first, *others = load(MACHINES / "zen-3.json").cpus
    leaf = {(ZPP_LEAF, ZPP_KEY): (0x40000001, *signature)}
    cpu = capture(Recorded(replace(first, cpuid={**first.cpuid, **leaf})))  # type: ignore[dict-item]
    verdict = diagnose(Machine((cpu, *others)))
    assert verdict.reason == REASONS["IN_USE"]
    assert verdict.fix == FIXES["ZPP"]


def test_each_requirement_is_shown_with_the_cpus_that_lack_it() -> None:
    found = {check.name: check for check in checks(load(MACHINES / "hybrid-without-vtx.json"))}
    assert found["VT-x"].missing == tuple(range(12, 20))
    assert found["EPT"].missing == ()
    assert found["EPT"].unknown == tuple(range(12, 20))
    assert "nested paging" not in found


@pytest.mark.parametrize(
    ("firmware", "offline", "kvm", "words"),
    [
        (Firmware(secure_boot=True), (), False, "Secure Boot is on"),
        (Firmware("bios"), (), False, "need UEFI"),
        (Firmware(bits=32), (), False, "32-bit UEFI"),
        (Firmware(), (2, 3), False, "offline: CPU 2, 3"),
        (Firmware(), (), True, "modprobe -r kvm"),
    ],
)
def test_notes(firmware: Firmware, offline: tuple[int, ...], kvm: bool, words: str) -> None:
    (line,) = notes(Machine((Cpu({}, {}),), firmware), offline, kvm)
    assert words in line


# ---- the running Linux


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files of a running Linux with four CPUs, two of them online."""
    files = {
        "sys/devices/system/cpu/online": "0-1\n",
        "sys/devices/system/cpu/offline": "2-3\n",
        "proc/cpuinfo": "processor\t: 0\nmicrocode\t: 0x2f\n",
        "sys/class/dmi/id/bios_vendor": "Vendor\n",
        "sys/class/dmi/id/bios_version": "F.12\n",
        "sys/class/dmi/id/product_uuid": "secret\n",
        "sys/class/dmi/id/board_serial": "secret\n",
        "sys/firmware/efi/fw_platform_size": "64\n",
        "sys/module/kvm_intel/refcnt": "0\n",
        "sys/firmware/memmap/0/start": "0x0\n",
        "sys/firmware/memmap/0/end": "0x9ffff\n",
        "sys/firmware/memmap/0/type": "System RAM\n",
        "sys/firmware/memmap/1/start": "0xa0000\n",
        "sys/firmware/memmap/1/end": "0xfffff\n",
        "sys/firmware/memmap/1/type": "Reserved\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    variable = tmp_path / f"sys/firmware/efi/efivars/SecureBoot-{GLOBAL}"
    variable.parent.mkdir()
    variable.write_bytes(b"\x06\0\0\0\x01")
    return tmp_path


def test_linux_is_recorded(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = load(MACHINES / "haswell.json")
    monkeypatch.setattr(
        linux, "DeviceFiles", lambda folder: Recorded(machine.cpus[int(folder.name)])
    )
    found = linux.record(tree)
    assert [cpu.cpuid for cpu in found.cpus] == [cpu.cpuid for cpu in machine.cpus[:2]]
    assert [cpu.msrs for cpu in found.cpus] == [cpu.msrs for cpu in machine.cpus[:2]]
    assert found.cpus[0].microcode == 0x2F
    assert found.firmware == Firmware("uefi", "Vendor", "F.12", "", True)
    assert [(r.start, r.end, r.type) for r in found.memory] == [
        (0, 0x9FFFF, "ram"), (0xA0000, 0xFFFFF, "reserved"),
    ]  # fmt: skip
    assert linux.offline(tree) == (2, 3)
    assert linux.uses_kvm(tree)
    assert "secret" not in to_text(found)
    assert diagnose(found).runs


def test_linux_without_uefi_and_without_dmi(tmp_path: Path) -> None:
    assert linux._firmware(tmp_path) == Firmware("bios")
    assert linux.offline(tmp_path) == ()
    assert not linux.uses_kvm(tmp_path)


def test_device_files(tmp_path: Path) -> None:
    with (tmp_path / "cpuid").open("wb") as stream:
        stream.seek(0x80000000)
        stream.write(bytes(range(16)))
    with (tmp_path / "msr").open("wb") as stream:
        stream.seek(0x1B)
        stream.write((0xFEE00900).to_bytes(8, "little"))
    files = linux.DeviceFiles(tmp_path)
    assert files.cpuid(0x80000000, 0) == (0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C)
    assert files.rdmsr(0x1B) == 0xFEE00900
    assert files.rdmsr(0xC0000080) is None  # behind the end; a device says EIO
    files.close()


def test_missing_device_files_are_named(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MissingError) as caught:
        linux.record(tree)
    assert str(caught.value) == (
        f"{tree}/dev/cpu/0/cpuid: cannot be opened: No such file or directory; "
        "run as root, after `modprobe -a cpuid msr`"
    )
    # CPUID alone says that there is VT-x, but not whether it is locked
    machine = load(MACHINES / "haswell.json")
    bare = replace(machine, cpus=tuple(replace(cpu, msrs={}) for cpu in machine.cpus))
    monkeypatch.setattr(linux, "record", lambda: bare)
    reason = linux.why_no_msrs(tree)
    monkeypatch.setattr(linux, "why_no_msrs", lambda: reason)
    assert main(["doctor"]) == ExitCode.MISSING
    assert f"{tree}/dev/cpu/0/msr: cannot be opened" in capsys.readouterr().err


# ---- the command


def test_the_last_line_is_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(MACHINES / "alder-lake.json")]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "zpp will run here: Intel VT-x on 20 CPUs"
    assert any(line.split() == ["unrestricted", "guest", "yes"] for line in lines)
    assert main(["doctor", str(MACHINES / "svm-disabled.json")]) == ExitCode.VERDICT
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"zpp will not run here: CPU 0: {REASONS['LOCKED_BY_FIRMWARE']}; to fix it, {FIXES['AMDV']}"
    )


def test_save_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, again = MACHINES / "hybrid-differs.json", tmp_path / "again.json"
    assert main(["doctor", str(file), "--save", str(again), "--json"]) == ExitCode.VERDICT
    document = json.loads(capsys.readouterr().out)
    assert document["cpu"] == 12
    assert document["runs"] is False
    assert again.read_text() == file.read_text()
    assert main(["doctor", str(file), "--save", str(tmp_path)]) == ExitCode.OUTPUT

"""Command lines of the emulators, the choice between them, and what their ends mean."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
from machines import TCG, options

from efi_image.emulator import (
    Debug,
    EmulatorKind,
    ExitReason,
    Machine,
    RunRequest,
    bochs,
    choose,
    firmware,
    qemu,
)
from efi_image.emulator import select as choice
from efi_image.emulator.base import End
from efi_image.emulator.bochs import Bochs, CpuModel
from efi_image.emulator.bochs_install import LAYOUT, MARKER
from efi_image.emulator.cpu_probe import Extension, probe_cpu, probe_rom
from efi_image.emulator.qemu import Accelerator, Qemu
from efi_image.errors import (
    EmulatorFailed,
    EmulatorMissing,
    InputError,
    UsageError,
)

POOR = Qemu("/usr/bin/qemu-system-x86_64", Accelerator.TCG, Extension.NONE)
WARNING = "qemu-system-x86_64: warning: TCG doesn't support requested feature: CPUID.07H:EBX.rdseed"
KVM = Qemu("/usr/bin/qemu-system-x86_64", Accelerator.KVM, Extension.NONE)
NESTING = Qemu("/usr/bin/qemu-system-x86_64", Accelerator.KVM, Extension.VMX)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / 'my, "image".img'
    path.write_bytes(bytes(512))
    return path


def test_bochs_command_line(emulator: Bochs, image: Path, work: Path) -> None:
    launch = emulator.prepare(RunRequest(image, cpus=4, memory=768), work)
    assert launch.command == (
        "unshare", "--net",
        "setpriv", "--pdeathsig", "KILL",  # last: new credentials would undo it
        "root/usr/lib64/ld-linux-x86-64.so.2",
        "--preload", "root/zpp/bochs_fix.so",
        "--library-path", "root/usr/lib/x86_64-linux-gnu",
        "root/usr/bin/bochs-bin", "-q", "-f", "bochsrc",
    )  # fmt: skip
    assert launch.environment["LTDL_LIBRARY_PATH"] == "root/zpp/plugins"
    assert (work / "root").resolve() == emulator.install.root
    assert (work / "disk.img").resolve() == image
    lines = options((work / "bochsrc").read_text())
    assert lines["cpu"] == (
        'model=corei7_haswell_4770, count=4, exclude_features="mwait,mwaitx", '
        "ips=100000000, cpuid_freq=ips, reset_on_triple_fault=0"
    )
    assert lines["memory"] == "guest=768, host=768"
    assert lines["romimage"] == "file=firmware.fd, address=0xfffe0000"
    assert "mode=volatile" in lines["ata0-master"]  # the image itself is never written


def test_bochs_options(emulator: Bochs, image: Path, work: Path, tmp_path: Path) -> None:
    rom = tmp_path / "own.fd"
    rom.write_bytes(bytes(0x10000))
    request = RunRequest(
        image, cpu_model="ryzen,+x2apic,-svm", firmware=rom,
        debug=Debug(deterministic=True, extra=("panic: action=report",)),
    )  # fmt: skip
    emulator.prepare(request, work)
    lines = options((work / "bochsrc").read_text())
    assert lines["cpu"].startswith(
        'model=ryzen, count=1, add_features="x2apic", '
        'exclude_features="mwait,mwaitx,rdrand,rdseed,svm", '
    )
    assert lines["romimage"] == "file=firmware.fd, address=0xffff0000"
    assert (work / "firmware.fd").resolve() == rom
    assert lines["panic"] == "action=report"


@pytest.mark.parametrize("text", ["a b", "a,b", "a,+", 'x"y', "a,,", ","])
def test_bad_cpu_models(text: str) -> None:
    with pytest.raises(UsageError):
        CpuModel.parse(text)


def test_unknown_cpu_model(emulator: Bochs, image: Path) -> None:
    with pytest.raises(UsageError, match="no CPU model corei9") as raised:
        emulator.check(RunRequest(image, cpu_model="corei9"))
    assert "ryzen" in raised.value.hint


@pytest.mark.parametrize("size", [0x10001, 0, 17 << 20])
def test_firmware_that_bochs_cannot_map(
    emulator: Bochs, image: Path, work: Path, tmp_path: Path, size: int
) -> None:
    rom = tmp_path / "bad.fd"
    rom.write_bytes(bytes(size))
    with pytest.raises(InputError, match="firmware"):
        emulator.prepare(RunRequest(image, firmware=rom), work)


BOCHS_LOG = """\
00000000000i[PLUGIN] loaded plugin libbx_acpi.so
00581396411e[CMOS  ] write to control register 0x0d ignored (read-only)
00600000000e[CPU1  ] VMENTER FAIL: VMCS guest ES.AR/LIMIT malformed
00600000001e[CPU1  ] VMFAIL: VMCS EXEC CTRL: VMX pin-based controls allowed 0-settings
00600000002i[CPU0  ] exception(): 3rd (13) exception with no resolution
02245943453p[ACPI  ] >>PANIC<< ACPI control: soft power off
"""


def test_bochs_log(emulator: Bochs) -> None:
    assert [line.split("] ")[1][:11] for line in emulator.problems(BOCHS_LOG)] == [
        "VMENTER FAI", "VMFAIL: VMC", "exception()",
    ]  # fmt: skip
    assert emulator.end(1, BOCHS_LOG) == End(ExitReason.POWER_OFF)
    assert emulator.end(-9, BOCHS_LOG).reason is None
    port = "00000000016p[UNMAP ] >>PANIC<< Shutdown port: shutdown requested\n"
    assert emulator.end(1, port) == End(ExitReason.SHUTDOWN_PORT)
    assert emulator.problems(port) == ()
    panic = "00000000000p[CPU0  ] >>PANIC<< CPUID: unknown feature name\n"
    assert emulator.end(1, panic).reason is None
    assert emulator.problems(panic) == (panic.strip(),)
    assert emulator.problems("2p[      ] >>PANIC<< SIGNAL 2 caught\n") == ()


def test_bochs_needs_a_network_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, ...]] = []

    def user_only(command: tuple[str, ...]) -> bool:
        tried.append(command)
        return "--map-root-user" in command

    monkeypatch.setattr(bochs, "runs", user_only)
    assert bochs.isolation() == ("unshare", "--map-root-user", "--net")
    assert len(tried) == 2
    monkeypatch.setattr(bochs, "runs", lambda _command: False)
    with pytest.raises(EmulatorFailed, match="network namespace"):
        bochs.isolation()


def test_qemu_command_line(
    image: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("code", "vars"):
        (tmp_path / name).write_bytes(b"x")
    flash = [firmware.Flash(tmp_path / name, firmware.Format.RAW) for name in ("code", "vars")]
    found = firmware.Firmware(Path(), "", flash[0], flash[1], frozenset())
    needs: list[firmware.FirmwareNeed] = []

    def find(need: firmware.FirmwareNeed) -> firmware.Firmware:
        needs.append(need)
        return found

    monkeypatch.setattr(firmware, "find_firmware", find)
    command = TCG.prepare(RunRequest(image, cpus=3, memory=640), work).command
    pairs = dict(itertools.pairwise(command))
    assert pairs["-machine"] == "q35,accel=tcg"
    assert pairs["-cpu"] == "EPYC,+svm,-monitor"
    assert pairs["-smp"] == "3"
    assert pairs["-m"] == "640"
    assert pairs["-serial"] == "file:serial"
    drives = [b for a, b in itertools.pairwise(command) if a == "-drive"]
    assert drives[1] == f"if=pflash,unit=1,file={work}/variables.raw,format=raw"
    assert "snapshot=on" in drives[2]
    assert drives[2].endswith('/my,, "image".img')
    assert "-icount" not in command
    command = TCG.prepare(RunRequest(image, machine=Machine.PC), work).command
    assert "pc,accel=tcg" in command
    assert [need.machine for need in needs] == ["q35", "pc"]


def test_warnings_of_every_boot_are_no_problems() -> None:
    usual = "qemu: warning: TCG doesn't support requested feature: CPUID.01H:ECX.pcid [bit 17]"
    ended = "qemu-system-x86_64: terminating on signal 15 from pid 7 (python)"
    ended += "\nqemu-system-x86_64: QEMU: Terminated via GDBstub"
    log = f"{usual}\n{ended}\nqemu: could not read the disk\nwords\n"
    assert TCG.problems(log) == ("qemu: could not read the disk",)
    assert TCG.unusual(log) == ("qemu: could not read the disk", "words")


def test_bochs_has_one_machine(emulator: Bochs, image: Path) -> None:
    emulator.check(RunRequest(image, machine=Machine.PC))
    with pytest.raises(UsageError, match="no machine q35"):
        emulator.check(RunRequest(image, machine=Machine.Q35))


def test_qemu_options(image: Path, work: Path, tmp_path: Path) -> None:
    rom = tmp_path / "own.fd"
    rom.write_bytes(b"own")
    request = RunRequest(
        image, cpu_model="EPYC,+svm", firmware=rom, debug=Debug(deterministic=True, extra=("-S",))
    )
    command = TCG.prepare(request, work).command
    assert command[command.index("-cpu") + 1] == "EPYC,+svm"
    assert command[command.index("-icount") + 1] == "shift=0,sleep=off"
    assert command[-1] == "-S"
    assert f"if=pflash,unit=0,file={work}/variables.raw,format=raw" in command
    assert (work / "variables.raw").read_bytes() == b"own"
    assert "-icount" not in KVM.prepare(request, work).command


@pytest.mark.parametrize(
    ("status", "log", "end"),
    [
        (0, "", End(ExitReason.POWER_OFF)),
        (0, "qemu-system-x86_64: terminating on signal 15 from pid 7 (sh)\n",
         End(None, how="was ended by signal 15 from pid 7 (sh)")),
        (0, "qemu-system-x86_64: QEMU: Terminated via GDBstub\n", End(ExitReason.QUIT)),
        (1, "", End(ExitReason.GUEST_CODE, 0)),
        (1, f"{WARNING}\n", End(ExitReason.GUEST_CODE, 0)),
        (1, f"{WARNING}\nqemu-system-x86_64: -bios x: could not load\n", End(None)),
        (3, "", End(ExitReason.GUEST_CODE, 1)),
        (67, "", End(ExitReason.GUEST_CODE, 33)),
        (-9, "", End(None)),
        (2, "", End(None)),
    ],
)  # fmt: skip
def test_qemu_ends(status: int, log: str, end: End) -> None:
    assert TCG.end(status, log) == end


def install_marker(root: Path) -> None:
    """A root that looks complete."""
    for name in (
        "usr/lib64/ld-linux-x86-64.so.2", "usr/bin/bochs-bin", "zpp/bochs_fix.so",
        "zpp/plugins/x", "zpp/divide.efi", "usr/share/ovmf/OVMF.fd",
        "usr/share/bochs/VGABIOS-lgpl-latest",
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    version = {"layout": LAYOUT, "suite": "forky", "packages": {}, "sources": ""}
    (root / MARKER).write_text(json.dumps(version))


@pytest.mark.parametrize(
    ("qemus", "kind", "name"),
    [
        ([NESTING, TCG], EmulatorKind.AUTO, "QEMU with KVM, which gives guests VT-x"),
        ([KVM, TCG], EmulatorKind.AUTO, "QEMU with TCG, which emulates AMD-V on any machine"),
        ([KVM, POOR], EmulatorKind.AUTO, "Bochs ()"),
        ([], EmulatorKind.AUTO, "Bochs ()"),
        ([NESTING, TCG], EmulatorKind.BOCHS, "Bochs ()"),
        ([NESTING, TCG], EmulatorKind.QEMU, "QEMU with KVM, which gives guests VT-x"),
        ([KVM, TCG], EmulatorKind.QEMU, "QEMU with TCG, which emulates AMD-V on any machine"),
        ([KVM], EmulatorKind.QEMU, "QEMU with KVM, which gives guests neither VT-x nor AMD-V"),
    ],
)
def test_choice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qemus: list[Qemu],
    kind: EmulatorKind,
    name: str,
) -> None:
    def find() -> list[Qemu]:
        if not qemus:
            raise EmulatorMissing("no QEMU")
        return qemus

    monkeypatch.setattr(choice, "find_qemus", find)
    install_marker(tmp_path)
    assert choose(kind, tmp_path).description == name


def test_no_engine_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_qemus", lambda: [POOR])
    with pytest.raises(EmulatorMissing, match="zpp-image bochs install"):
        choose(EmulatorKind.AUTO, tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmulatorMissing, match="`apt install qemu-system-x86 ovmf`$"):
        qemu.find_qemus()
    both = "`apt install qemu-system-x86 ovmf`, or install it with `zpp-image bochs install`"
    with pytest.raises(EmulatorMissing, match=both):
        choose(EmulatorKind.AUTO, tmp_path)


def test_probe_rom_is_whole() -> None:
    rom = probe_rom()
    assert len(rom) == 0x10000
    jump = int.from_bytes(rom[0xFFF1:0xFFF3], "little", signed=True)
    assert rom[0xFFF0] == 0xE9
    assert (0xFFF3 + jump) % 0x10000 == 0


def fake_qemu(tmp_path: Path, status: int, sleep: int = 0) -> str:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\nsleep {sleep}\nexit {status}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("status", "extensions"),
    [
        (33, Extension.NONE),
        (35, Extension.VMX),
        (37, Extension.SVM),
        (39, Extension.VMX | Extension.SVM),
        (0, None),
        (1, None),
        (3, None),
        (41, None),
        (127, None),
    ],
)
def test_probe_answers(tmp_path: Path, status: int, extensions: Extension | None) -> None:
    assert probe_cpu(fake_qemu(tmp_path, status), "kvm", "host") == extensions


def test_probe_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("efi_image.emulator.cpu_probe._TIME_LIMIT", 0.2)
    assert probe_cpu(fake_qemu(tmp_path, 35, sleep=5), "kvm", "host") is None


@pytest.mark.skipif(shutil.which(qemu.PROGRAM) is None, reason="needs QEMU")
@pytest.mark.parametrize(
    ("model", "extensions"), [("qemu64,+svm", Extension.SVM), ("qemu64,-svm", Extension.NONE)]
)
def test_probe_of_a_real_qemu(model: str, extensions: Extension) -> None:
    assert probe_cpu(qemu.PROGRAM, "tcg", model) == extensions

"""QEMU with OVMF: with KVM where that works, else with TCG, which emulates AMD-V only."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from efi_image.emulator import firmware
from efi_image.emulator import qemu_devices as devices
from efi_image.emulator.base import End, ExitReason, Launch, guard
from efi_image.emulator.bochs_install import BochsInstall
from efi_image.emulator.cpu_probe import DEBUG_EXIT, Extension, probe_cpu
from efi_image.emulator.request import Machine, RunRequest
from efi_image.errors import EmulatorMissing

PROGRAM = "qemu-system-x86_64"
# AMD-V with nested paging, and the features of a common CPU. With MONITOR, firmware parks CPUs in
# MWAIT, which TCG runs as a busy loop
TCG_MODEL = "EPYC,+svm,-monitor"
_TELLING = re.compile(r"qemu|kvm|triple fault|error", re.IGNORECASE)
_KILLED_BY_GDB = "QEMU: Terminated via GDBstub"
# printed for each CPU of a model with more features than TCG has, and when a run is ended
_USUAL = re.compile(
    f"warning: TCG doesn't support requested feature|terminating on signal|{_KILLED_BY_GDB}"
)
_SIGNALLED = re.compile(r"terminating on (signal \d+ from pid \d+[^\n]*)")
_WARNING = re.compile(r"^[^:]*: warning: ")


class Accelerator(Enum):
    """How QEMU runs a guest."""

    KVM = "kvm"
    TCG = "tcg"

    @property
    def model(self) -> str:
        """The CPU model that can show the hypervisor."""
        return "host" if self is Accelerator.KVM else TCG_MODEL


@dataclass(frozen=True, slots=True)
class Qemu:
    """QEMU with an accelerator that works here, and the extensions its guests can use."""

    program: str
    accelerator: Accelerator
    extensions: Extension
    arguments: tuple[str, ...] = ()  # before all others

    @property
    def name(self) -> str:
        return "qemu"

    @property
    def description(self) -> str:
        shown = [name for name, flag in _NAMES if flag in self.extensions]
        what = " and ".join(shown) or "neither VT-x nor AMD-V"
        if self.accelerator is Accelerator.TCG:
            return f"QEMU with TCG, which emulates {what} on any machine"
        return f"QEMU with KVM, which gives guests {what}"

    @property
    def default_model(self) -> str:
        return self.accelerator.model

    def check(self, request: RunRequest) -> None:
        devices.check(self.program, request)
        _firmware(request)

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        machine, found = _machine(request), _firmware(request)
        return Launch(
            command=(
                *(*guard(), self.program, *self.arguments),
                *("-machine", f"{machine},accel={self.accelerator.value}{found.machine}"),
                *("-cpu", request.cpu_model or self.default_model),
                *("-smp", str(request.cpus), "-m", str(request.memory)),
                *("-nodefaults", "-no-user-config"),
                *found.copied(work).arguments,
                *devices.medium(request),
                *devices.serial(request),
                *("-device", DEBUG_EXIT),
                *devices.graphics(self.program, request.devices),
                *devices.network(request.devices),
                *self._deterministic(request),
                *(("-gdb", f"tcp:{request.debug.gdb}") if request.debug.gdb else ()),
                *(("-S",) if request.debug.stopped else ()),
                *devices.debug_port(request),
                *request.debug.extra,
            ),
            work=work,
            environment={"TMPDIR": str(work)},  # for the image's snapshot
            log="emulator.out",
        )

    def _deterministic(self, request: RunRequest) -> tuple[str, ...]:
        """The TSC counts instructions, and waiting takes no time."""
        if not request.debug.deterministic or self.accelerator is not Accelerator.TCG:
            return ()
        return ("-icount", "shift=0,sleep=off", "-rtc", "base=2023-11-14T22:13:20,clock=vm")

    def end(self, status: int, log: str) -> End:
        """0 is a power-off, 2 * code + 1 is from the debug-exit device.

        1 may also be a failure of QEMU, which prints more than warnings then.
        """
        if status == 0:
            # QEMU returns 0 after a signal, too
            signalled = _SIGNALLED.search(log)
            if signalled:
                return End(None, how=f"was ended by {signalled[1]}")
            return End(ExitReason.QUIT if _KILLED_BY_GDB in log else ExitReason.POWER_OFF)
        failed = status == 1 and not all(map(_WARNING.match, log.splitlines()))
        if status % 2 == 0 or status < 0 or failed:
            return End(None)
        return End(ExitReason.GUEST_CODE, status // 2)

    def problems(self, log: str) -> tuple[str, ...]:
        return tuple(filter(_TELLING.search, self.unusual(log)))

    def unusual(self, log: str) -> tuple[str, ...]:
        return tuple(line for line in log.splitlines() if not _USUAL.search(line))


def _machine(request: RunRequest) -> str:
    return (request.machine or Machine.Q35).value


def _firmware(request: RunRequest) -> firmware.Firmware:
    """Raises FirmwareMissing, InputError."""
    machine = _machine(request)
    if request.firmware:
        return firmware.read_firmware(request.firmware, machine)
    return firmware.find_firmware(firmware.FirmwareNeed(machine=machine))


_NAMES = (("VT-x", Extension.VMX), ("AMD-V", Extension.SVM))


def newest_qemu(install: BochsInstall) -> Qemu:
    """The QEMU in the Bochs installation, with TCG; raises EmulatorMissing."""
    program, *arguments = install.qemu
    return Qemu(program, Accelerator.TCG, Extension.SVM, tuple(arguments))


def find_qemus() -> list[Qemu]:
    """QEMU with each accelerator that works here, the fastest first; raises EmulatorMissing."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise EmulatorMissing(
            f"{PROGRAM} is not installed", hint="`apt install qemu-system-x86 ovmf`"
        )
    found = []
    for accelerator in Accelerator:
        extensions = probe_cpu(program, accelerator.value, accelerator.model)
        if extensions is not None:
            found.append(Qemu(program, accelerator, extensions))
    if not found:
        raise EmulatorMissing(
            f"{program} starts neither with KVM nor with TCG",
            hint=f"`{program} -machine pc,accel=tcg -display none` shows why",
        )
    return found

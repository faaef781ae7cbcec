"""Builds images and boots them, for the tests and the bench. Every boot writes a log."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from efi_image.build.image import make_image
from efi_image.build.options import Addition, Hypervisor, ResolvedOptions
from efi_image.emulator import (
    BootResult,
    Emulator,
    EmulatorKind,
    ExitReason,
    Machine,
    RunRequest,
    bochs_install,
    boot,
    choose,
)
from efi_image.emulator.qemu import TCG_MODEL
from efi_image.errors import ZppError

HASWELL = "corei7_haswell_4770"
SKYLAKE = "corei7_skylake_x"
RYZEN = "ryzen"
EPYC = TCG_MODEL
ROME = "EPYC-Rome,+svm"
PLAIN = "qemu64,+svm,+npt"  # without NRIP saving and XSAVE
# no_timer_check: QEMU's clock runs on while the machine is busy, and Linux calls its timer broken
CMDLINE = "console=ttyS0,115200 quiet cryptomgr.notests no_timer_check"
TIME_LIMIT = 300.0  # seconds; a boot takes 10 to 25 on an idle machine


@dataclass(frozen=True)
class Pc:
    """An emulated machine, and the extension that zpp uses on it."""

    model: str
    cpus: int
    emulator: EmulatorKind = EmulatorKind.BOCHS
    machine: Machine | None = None
    vendor: str = "Intel VT-x"

    def __str__(self) -> str:
        chipset = f"-{self.machine.value}" if self.machine else ""
        return f"{self.model}-{self.cpus}-{self.emulator.value}{chipset}"


def qemu_pc(model: str, cpus: int, machine: Machine = Machine.Q35) -> Pc:
    """A machine with AMD-V, on QEMU."""
    return Pc(model, cpus, EmulatorKind.QEMU, machine, "AMD-V")


VTX = (
    Pc(HASWELL, 4), Pc(SKYLAKE, 4), Pc(HASWELL, 3), Pc(HASWELL, 2), Pc(HASWELL, 1),
)  # fmt: skip
# covers every number of CPUs, both chipsets and all models, but not every combination
AMDV = (
    Pc(RYZEN, 4, vendor="AMD-V"), Pc(RYZEN, 1, vendor="AMD-V"),
    qemu_pc(EPYC, 8, Machine.PC), qemu_pc(EPYC, 4), qemu_pc(EPYC, 2, Machine.PC), qemu_pc(EPYC, 1),
    qemu_pc(ROME, 4, Machine.PC), qemu_pc(PLAIN, 2),
)  # fmt: skip


def free_port() -> int:
    """A TCP port of this machine that nothing listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number: int = listener.getsockname()[1]
        return number


@dataclass(frozen=True)
class Harness:
    """The build to test, a folder for images, and the log file."""

    build_directory: Path
    folder: Path
    log: Path

    def image(
        self,
        *,
        kernel: Path | None = None,
        initrd: Path | None = None,
        cmdline: str = "",
        hypervisor: bool = True,
        visible: bool = False,
        reset_after: int = 10,
        menu_timeout: int = 0,
        boot_tries: int = 3,
        default_entry: str = "",
        additions: tuple[Addition, ...] = (),
    ) -> Path:
        """Builds an image as `zpp-image make` does; the same options give the same file."""
        output = self.folder / "esp.img"
        options = ResolvedOptions(
            output,
            build_directory=self.build_directory,
            kernel=kernel,
            initrd=initrd,
            cmdline=cmdline,
            hypervisor=Hypervisor.ON if hypervisor else Hypervisor.OFF,
            visible=visible,
            reset_after=reset_after,
            menu_timeout=menu_timeout,
            boot_tries=boot_tries,
            default_entry=default_entry,
            files=additions,
        )
        make_image(options)
        return output

    def linux_image(
        self, words: str = "", *, hypervisor: bool = True, visible: bool = False, driver: str = ""
    ) -> Path:
        """Builds an image with the small Linux guest. `words` are added to its command line;
        `driver` is the subfolder of another build of zpp, such as "waiting"."""
        guest = self.build_directory / "linux-guest"
        return replace(self, build_directory=self.build_directory / driver).image(
            kernel=guest / "vmlinuz",
            initrd=guest / "initrd.img",
            cmdline=f"{CMDLINE} {words}".strip(),
            hypervisor=hypervisor,
            visible=visible,
        )

    def program_image(
        self, program: Path, *, hypervisor: bool = True, visible: bool = False, cmdline: str = ""
    ) -> Path:
        """Builds an image that starts an EFI program on the hypervisor."""
        return self.image(kernel=program, hypervisor=hypervisor, visible=visible, cmdline=cmdline)

    def plain_image(self, program: Path) -> Path:
        """Builds an image without zpp; `program` is its BOOTX64.EFI."""
        output = self.folder / "plain.img"
        make_image(ResolvedOptions(output, hypervisor=Hypervisor.NONE, boot=(program,)))
        return output

    def boot(self, request: RunRequest, kind: EmulatorKind = EmulatorKind.BOCHS) -> BootResult:
        """Boots until the power-off or the expected text; otherwise the test fails and shows the
        end of the log."""
        try:
            return boot(self.with_defaults(request), choose(kind)).require()
        except ZppError as error:
            pytest.fail("\n".join((str(error), *error.details, f"log: {self.log}")), pytrace=False)

    def run_bare_linux(self, request: RunRequest, kind: EmulatorKind, started: str) -> str:
        """As `run_to_power_off`, for a Linux that starts without zpp and then prints `started`.

        On a busy machine, it sometimes hangs on QEMU 7.2 (docs/reference/emulators.md). If that
        happens before `started`, it is booted once more: zpp is not involved."""
        try:
            result = self.boot_unchecked(request, choose(kind))
        except ZppError:
            if started in self.log.read_text(errors="replace"):
                raise
        else:
            if started in result.serial:
                assert result.require().reason is ExitReason.POWER_OFF
                return result.serial
        return self.run_to_power_off(request, kind)

    def boot_unchecked(self, request: RunRequest, emulator: Emulator) -> BootResult:
        """As `boot`, but neither fails the test nor handles errors."""
        return boot(self.with_defaults(request), emulator)

    def with_defaults(self, request: RunRequest) -> RunRequest:
        """Adds the log and the time limit to a request."""
        return replace(request, log=self.log, timeout=request.timeout or TIME_LIMIT)

    def bochs_request(self, image: Path, cpus: int = 1, model: str = HASWELL) -> RunRequest:
        """A request for a machine with VT-x."""
        return RunRequest(image, cpus=cpus, cpu_model=model)

    def request(self, pc: Pc, image: Path) -> RunRequest:
        """A request for a machine."""
        return RunRequest(image, cpus=pc.cpus, cpu_model=pc.model, machine=pc.machine)

    def run_to_power_off(self, request: RunRequest, kind: EmulatorKind = EmulatorKind.BOCHS) -> str:
        """Boots until the power-off; returns the serial log."""
        result = self.boot(request, kind)
        assert result.reason is ExitReason.POWER_OFF
        return result.serial

    @staticmethod
    def bochs() -> bochs_install.BochsInstall:
        """The installed Bochs."""
        return bochs_install.find(bochs_install.default_root())

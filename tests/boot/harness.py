"""Makes images and boots them for the tests and the bench; every boot leaves its log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from efi_image.build.esp import Addition, EspOptions, contents
from efi_image.build.image import ImageOptions, Item, build
from efi_image.emulator import (
    BootResult,
    Engine,
    EngineKind,
    ExitReason,
    Machine,
    RunRequest,
    boot,
    choose,
)
from efi_image.emulator import bochs_install as rig
from efi_image.errors import ZppError
from efi_image.io.source import FileSource

HASWELL = "corei7_haswell_4770"
SKYLAKE = "corei7_skylake_x"
RYZEN = "ryzen"
EPYC = "EPYC,+svm"
ROME = "EPYC-Rome,+svm"
PLAIN = "qemu64,+svm,+npt"  # no nRIP saving, no XSAVE
CMDLINE = "console=ttyS0,115200 quiet cryptomgr.notests"
TIME_LIMIT = 300.0  # seconds; a boot takes 10 to 25 on an idle machine


@dataclass(frozen=True)
class Pc:
    """A machine that is emulated, and the extension by which zpp holds its CPUs."""

    model: str
    cpus: int
    engine: EngineKind = EngineKind.BOCHS
    machine: Machine | None = None
    vendor: str = "Intel VT-x"

    def __str__(self) -> str:
        chipset = f"-{self.machine.value}" if self.machine else ""
        return f"{self.model}-{self.cpus}-{self.engine.value}{chipset}"


def qemu(model: str, cpus: int, machine: Machine = Machine.Q35) -> Pc:
    """A machine with AMD-V on QEMU."""
    return Pc(model, cpus, EngineKind.QEMU, machine, "AMD-V")


VTX = (
    Pc(HASWELL, 4), Pc(SKYLAKE, 4), Pc(HASWELL, 3), Pc(HASWELL, 2), Pc(HASWELL, 1),
)  # fmt: skip
# every number of CPUs, both kinds of PC and all models: each of them, not every combination
AMDV = (
    Pc(RYZEN, 4, vendor="AMD-V"), Pc(RYZEN, 1, vendor="AMD-V"),
    qemu(EPYC, 8, Machine.PC), qemu(EPYC, 4), qemu(EPYC, 2, Machine.PC), qemu(EPYC, 1),
    qemu(ROME, 4, Machine.PC), qemu(PLAIN, 2),
)  # fmt: skip


@dataclass(frozen=True)
class Lab:
    """The build that is tested, a folder for images, and where logs go."""

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
        additions: tuple[Addition, ...] = (),
    ) -> Path:
        """An image as `zpp-image make` makes it; the same options give the same file."""
        options = EspOptions(
            build_directory=self.build_directory,
            kernel=str(kernel or ""),
            initrd=str(initrd or ""),
            cmdline=cmdline,
            hypervisor=hypervisor,
            additions=additions,
        )
        output = self.folder / "esp.img"
        build(contents(options), ImageOptions(digest=False), output)
        return output

    def linux(self, words: str = "", *, hypervisor: bool = True, driver: str = "") -> Path:
        """An image with the small Linux guest; `words` go on its command line; `driver` is the
        folder of another build of zpp."""
        guest = self.build_directory / "linux-guest"
        return replace(self, build_directory=self.build_directory / driver).image(
            kernel=guest / "vmlinuz",
            initrd=guest / "initrd.img",
            cmdline=f"{CMDLINE} {words}".strip(),
            hypervisor=hypervisor,
        )

    def program(self, program: Path, *, hypervisor: bool = True, cmdline: str = "") -> Path:
        """An image that starts an EFI program on the hypervisor."""
        return self.image(kernel=program, hypervisor=hypervisor, cmdline=cmdline)

    def bare_disk(self, program: Path) -> Path:
        """An image without zpp, whose BOOTX64.EFI is `program`."""
        output = self.folder / "bare.img"
        item = Item(("EFI", "BOOT", "BOOTX64.EFI"), FileSource.open(program))
        build([item], ImageOptions(digest=False), output)
        return output

    def boot(self, request: RunRequest, kind: EngineKind = EngineKind.BOCHS) -> BootResult:
        """Boots to the power-off, or to the expected text; otherwise the test fails with the
        log's tail."""
        try:
            return boot(self.prepared(request), choose(kind)).require()
        except ZppError as error:
            pytest.fail("\n".join((str(error), *error.details, f"log: {self.log}")), pytrace=False)

    def attempt(self, request: RunRequest, engine: Engine) -> BootResult:
        """Boots and lets errors through."""
        return boot(self.prepared(request), engine)

    def prepared(self, request: RunRequest) -> RunRequest:
        return replace(request, log=self.log, timeout=request.timeout or TIME_LIMIT)

    def machine(self, image: Path, cpus: int = 1, model: str = HASWELL) -> RunRequest:
        return RunRequest(image, cpus=cpus, cpu_model=model)

    def on(self, pc: Pc, image: Path) -> RunRequest:
        return RunRequest(image, cpus=pc.cpus, cpu_model=pc.model, machine=pc.machine)

    def power_off(self, request: RunRequest, kind: EngineKind = EngineKind.BOCHS) -> str:
        """The serial text of a boot that ended with the machine's power-off."""
        result = self.boot(request, kind)
        assert result.reason is ExitReason.POWER_OFF
        return result.serial

    @staticmethod
    def rig() -> rig.Rig:
        return rig.find(rig.default_root())

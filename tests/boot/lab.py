"""Makes images and boots them for the tests and the bench; every boot leaves its log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from efi_image import rig
from efi_image.engine import BootResult, Engine, EngineKind, ExitReason, RunRequest, boot, choose
from efi_image.errors import ZppError
from efi_image.esp import Addition, EspOptions, contents
from efi_image.image import ImageOptions, Item, build
from efi_image.source import FileSource

HASWELL = "corei7_haswell_4770"
SKYLAKE = "corei7_skylake_x"
CMDLINE = "console=ttyS0,115200 quiet cryptomgr.notests"
TIME_LIMIT = 300.0  # seconds; a boot takes 10 to 25 on an idle machine


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

    def linux(self, words: str = "", *, hypervisor: bool = True) -> Path:
        """An image with the small Linux guest; `words` go on its command line."""
        guest = self.build_directory / "linux-guest"
        return self.image(
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

    def power_off(self, request: RunRequest, kind: EngineKind = EngineKind.BOCHS) -> str:
        """The serial text of a boot that ended with the machine's power-off."""
        result = self.boot(request, kind)
        assert result.reason is ExitReason.POWER_OFF
        return result.serial

    @staticmethod
    def rig() -> rig.Rig:
        return rig.find(rig.default_root())

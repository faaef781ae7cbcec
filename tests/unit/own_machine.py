"""A machine with a mounted ESP and firmware variables, as folders that Linux would show.

The boot options are virt-firmware's, which is the oracle for those that the tool writes.
"""

from __future__ import annotations

import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from makepe import make_pe
from virt.firmware.efi.bootentry import BootEntry
from virt.firmware.efi.devpath import DevicePath, DevicePathElem
from virt.firmware.efi.ucs16 import from_string

from efi_image.cli.main import main
from efi_image.devices.uses import System
from efi_image.errors import ZppError
from efi_image.formats.zpp_conf import ZppConf
from efi_image.install.esp import Machine
from efi_image.install.installer import InstallReport, install
from efi_image.install.uninstaller import UninstallReport, uninstall

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
GUID = UUID("11111111-2222-3333-4444-555555555555")
LOADER = make_pe(text=b"the system's own loader")
KEPT = 0x7  # the attributes of boot options: NV, BS, RT


@dataclass
class OwnMachine:
    """Its folders; `esp` is the mount point of the ESP, the first partition of sda."""

    root: Path
    build: Path

    @property
    def esp(self) -> Path:
        """The mount point."""
        return self.root / "boot"

    @property
    def zpp(self) -> Path:
        """The folder of zpp."""
        return self.esp / "EFI/zpp"

    @property
    def efivars(self) -> Path:
        """The folder of the variables."""
        return self.root / "sys/firmware/efi/efivars"

    @property
    def machine(self) -> Machine:
        """It, for the tool."""
        system = System(self.root / "sys", self.root / "proc", self.root / "run")
        return Machine(system, self.root / "dev")

    def install(self) -> InstallReport:
        """Install zpp."""
        return install(self.esp, self.build, ZppConf(), self.machine)

    def uninstall(self) -> UninstallReport:
        """Remove zpp."""
        return uninstall(self.esp, self.machine)

    def refuses(self, code: int, message: str, where: Path | None = None) -> None:
        """Check that zpp is refused with that error in one line, and nothing is changed."""
        before = self.snapshot()
        with pytest.raises(ZppError) as failed:
            install(where or self.esp, self.build, ZppConf(), self.machine)
        assert message in str(failed.value)
        assert "\n" not in str(failed.value)
        assert failed.value.exit_code == code
        assert self.snapshot() == before

    # ---- its firmware

    def set(self, name: str, data: bytes, guid: str = GLOBAL, attributes: int = KEPT) -> None:
        """Set a variable."""
        (self.efivars / f"{name}-{guid}").write_bytes(struct.pack("<I", attributes) + data)

    def get(self, name: str, guid: str = GLOBAL) -> bytes | None:
        """A variable's data; None for a file without any, which efivarfs shows until it is set."""
        path = self.efivars / f"{name}-{guid}"
        return path.read_bytes()[4:] or None if path.exists() else None

    def order(self) -> list[int]:
        """BootOrder."""
        return [number for (number,) in struct.iter_unpack("<H", self.get("BootOrder") or b"")]

    def set_order(self, *numbers: int) -> None:
        """Set it."""
        self.set("BootOrder", struct.pack(f"<{len(numbers)}H", *numbers))

    def option(self, number: int) -> BootEntry | None:
        """A boot option, by virt-firmware."""
        data = self.get(f"Boot{number:04X}")
        return BootEntry(data) if data else None

    def add(
        self, number: int, title: str, file: str, guid: UUID = GUID, attributes: int = 1
    ) -> None:
        """Add a boot option that starts a file of a GPT partition."""
        drive, name = DevicePathElem(), DevicePathElem()
        drive.set_gpt(1, 2048, 81920, str(guid))
        name.set_filepath(file)
        path = DevicePath()
        path.extend([drive, name])
        entry = BootEntry(attr=attributes, title=from_string(title), devicepath=path)
        self.set(f"Boot{number:04X}", bytes(entry))

    def snapshot(self) -> dict[str, bytes]:
        """All files of the ESP, and all variables that were set."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for folder in (self.esp, self.efivars)
            for path in folder.rglob("*")
            if path.is_file() and (folder == self.esp or path.stat().st_size)
        }

    def copy(self, root: Path) -> OwnMachine:
        """A machine that is the same."""
        shutil.copytree(self.root, root, symlinks=True, ignore=shutil.ignore_patterns("dev"))
        (root / "dev").symlink_to(self.root / "dev")
        made = OwnMachine(root, self.build)
        made.describe_mount()
        _describe_disk(root)
        return made

    def describe_mount(self, filesystem: str = "vfat", **more: str) -> None:
        """What /proc says of the mount."""
        words = {"number": "8:1", "root": "/", "options": "rw,relatime", **more}
        folder = self.root / "proc/self"
        folder.mkdir(parents=True, exist_ok=True)
        place = str(self.esp).replace(" ", "\\040")
        (folder / "mountinfo").write_text(
            "20 1 8:2 / / rw - ext4 /dev/sda2 rw\n"
            f"30 20 {words['number']} {words['root']} {place} {words['options']}"
            f" shared:1 - {filesystem} /dev/sda1 rw\n"
        )


def _describe_disk(root: Path) -> None:
    disk = root / "sys/devices/pci0/ata1/host0/block/sda"
    shutil.rmtree(root / "sys/class", ignore_errors=True)
    (root / "sys/class/block").mkdir(parents=True)
    for folder, number in ((disk, "8:0"), (disk / "sda1", "8:1"), (disk / "sda2", "8:2")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "dev").write_text(number)
        (root / "sys/class/block" / folder.name).symlink_to(folder)
    (disk / "sda1/partition").write_text("1\n")
    (disk / "sda2/partition").write_text("2\n")


def make_machine(root: Path, build: Path, *table: str) -> OwnMachine:
    """A machine that starts Debian, then Windows; `table` are more options of `make`."""
    found = OwnMachine(root, build)
    for folder in (found.esp / "EFI/BOOT", found.esp / "EFI/debian", found.efivars, root / "dev"):
        folder.mkdir(parents=True)
    (found.esp / "EFI/debian/shimx64.efi").write_bytes(LOADER)
    (found.esp / "EFI/BOOT/BOOTX64.EFI").write_bytes((build / "ZppBoot.efi").read_bytes())
    second = f"{build / 'ZppBoot.efi'}:linux"
    words = table or ("--partition-guid", str(GUID), "--partition", second)
    assert main(["make", str(root / "dev/sda"), "--hypervisor", "none", *words]) == 0
    _describe_disk(root)
    found.describe_mount()
    (root / "sys/firmware/efi/fw_platform_size").write_text("64\n")
    found.add(0, "Windows", "\\EFI\\Microsoft\\Boot\\bootmgfw.efi", UUID(int=7))
    found.add(2, "debian", "\\EFI\\debian\\shimx64.efi")
    found.set_order(2, 0)
    return found

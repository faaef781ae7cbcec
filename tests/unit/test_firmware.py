"""Firmware found by QEMU's descriptors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from efi_image.emulator import Machine, RunRequest
from efi_image.emulator.cpu_probe import Extension
from efi_image.emulator.firmware import (
    FirmwareNeed,
    Format,
    descriptors,
    find_firmware,
    read_firmware,
    search_path,
)
from efi_image.emulator.qemu import Accelerator, Qemu
from efi_image.errors import FirmwareMissing, InputError


class Folders:
    """The three folders of the search path, and the firmware files."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.path = [base / "user", base / "etc", base / "usr"]
        for folder in self.path:
            folder.mkdir()

    def file(self, name: str) -> str:
        path = self.base / name
        path.write_bytes(name.encode())
        return str(path)

    def add(self, level: int, name: str, **changes: Any) -> Path:
        document: dict[str, Any] = {
            "description": name,
            "interface-types": ["uefi"],
            "mapping": {
                "device": "flash",
                "executable": {"filename": self.file(f"{name}.code"), "format": "raw"},
                "nvram-template": {"filename": self.file(f"{name}.vars"), "format": "raw"},
            },
            "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
            "features": ["acpi-s3", "verbose-dynamic"],
            "tags": [],
        }
        document.update({key.replace("_", "-"): value for key, value in changes.items()})
        path = self.path[level] / f"{name}.json"
        path.write_text(json.dumps(document))
        return path

    def found(self, **need: Any) -> str:
        return find_firmware(FirmwareNeed(**need), self.path).description


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_first_name_wins_in_whatever_folder(folders: Folders) -> None:
    folders.add(0, "60-user")
    folders.add(1, "55-etc")
    folders.add(2, "50-usr")
    assert folders.found() == "50-usr"


def test_stronger_folder_masks(folders: Folders) -> None:
    folders.add(2, "50-a", description="distribution")
    folders.add(1, "50-a", description="machine")
    assert folders.found() == "machine"
    folders.add(0, "50-a", description="user")
    assert folders.found() == "user"


def test_empty_file_disables(folders: Folders) -> None:
    folders.add(2, "50-a")
    folders.add(2, "60-b")
    (folders.path[1] / "50-a.json").touch()
    assert [path.name for path in descriptors(folders.path)] == ["60-b.json"]
    assert folders.found() == "60-b"


@pytest.mark.parametrize(
    ("machine", "pattern", "fits"),
    [
        ("q35", "pc-q35-*", True),
        ("q35", "q35", True),
        ("pc-q35-7.2", "pc-q35-*", True),
        ("pc", "pc-q35-*", False),
        ("pc", "pc-i440fx-*", True),
        ("virt", "*", True),
        ("virt", "pc-*", False),
    ],
)
def test_machines(folders: Folders, machine: str, pattern: str, fits: bool) -> None:
    folders.add(2, "50-a", targets=[{"architecture": "x86_64", "machines": [pattern]}])
    if fits:
        assert folders.found(machine=machine) == "50-a"
    else:
        with pytest.raises(FirmwareMissing):
            folders.found(machine=machine)


def test_architecture(folders: Folders) -> None:
    folders.add(2, "50-arm", targets=[{"architecture": "aarch64", "machines": ["q35"]}])
    folders.add(2, "60-x86")
    assert folders.found() == "60-x86"
    assert folders.found(architecture="aarch64") == "50-arm"


def test_features(folders: Folders) -> None:
    secure = ["secure-boot", "requires-smm"]
    folders.add(2, "40-enrolled", features=[*secure, "enrolled-keys"])
    folders.add(2, "50-secure", features=secure)
    folders.add(2, "60-plain")
    assert folders.found() == "60-plain"
    assert folders.found(secure_boot=True, smm=True) == "50-secure"
    assert folders.found(secure_boot=True, enrolled_keys=True, smm=True) == "40-enrolled"
    with pytest.raises(FirmwareMissing):
        folders.found(secure_boot=True)  # both need SMM


def test_what_keeps_no_variables_is_not_taken(folders: Folders) -> None:
    rom = folders.file("rom")
    folders.add(2, "10-bios", interface_types=["bios"])
    folders.add(2, "20-memory", mapping={"device": "memory", "filename": rom})
    executable = {"filename": rom, "format": "raw"}
    stateless = {"device": "flash", "mode": "stateless", "executable": executable}
    folders.add(2, "30-stateless", mapping=stateless)
    folders.add(2, "60-plain")
    assert folders.found() == "60-plain"


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"interface-types": 3}', '"uefi"', "\x00", "null"]
)
def test_broken_descriptors_are_passed_over(folders: Folders, text: str) -> None:
    broken = folders.path[2] / "10-broken.json"
    broken.write_text(text)
    with pytest.raises(FirmwareMissing) as raised:
        folders.found()
    assert any(str(broken) in line for line in raised.value.details)
    folders.add(2, "60-plain")
    assert folders.found() == "60-plain"


def test_missing_file_is_passed_over(folders: Folders) -> None:
    folders.add(2, "50-a")
    folders.add(2, "60-b")
    (folders.base / "50-a.vars").unlink()
    assert folders.found() == "60-b"


def test_unknown_format_is_passed_over(folders: Folders) -> None:
    mapping = json.loads(folders.add(2, "50-a").read_text())["mapping"]
    mapping["executable"]["format"] = "vmdk"
    folders.add(2, "50-a", mapping=mapping)
    with pytest.raises(FirmwareMissing, match="no UEFI firmware for the machine q35") as raised:
        folders.found()
    assert "ovmf" in raised.value.hint


def test_variables_are_copied(folders: Folders, tmp_path: Path) -> None:
    folders.add(2, "50-a")
    template = folders.base / "50-a.vars"
    template.chmod(0o444)
    work = tmp_path / "a,b"
    work.mkdir()
    copy = find_firmware(FirmwareNeed(), folders.path).copied(work)
    assert copy.variables is not None
    assert copy.variables.path.read_bytes() == template.read_bytes()
    copy.variables.path.write_bytes(b"changed")
    assert template.read_bytes() == b"50-a.vars"
    doubled = str(copy.variables.path).replace(",", ",,")
    assert copy.arguments == [
        "-drive", f"if=pflash,unit=0,file={folders.base / '50-a.code'},format=raw,readonly=on",
        "-drive", f"if=pflash,unit=1,file={doubled},format=raw",
    ]  # fmt: skip


def test_combined_file_is_copied_whole(folders: Folders, tmp_path: Path) -> None:
    rom = folders.file("rom")
    executable = {"filename": rom, "format": "qcow2"}
    mapping = {"device": "flash", "mode": "combined", "executable": executable}
    folders.add(2, "50-a", mapping=mapping)
    work = tmp_path / "work"
    work.mkdir()
    copy = find_firmware(FirmwareNeed(), folders.path).copied(work)
    assert copy.code.format is Format.QCOW2
    assert copy.variables is None
    assert copy.code.path.parent == work
    assert copy.arguments == [
        "-drive", f"if=pflash,unit=0,file={work}/variables.qcow2,format=qcow2",
    ]  # fmt: skip


def test_search_path() -> None:
    assert search_path({"XDG_CONFIG_HOME": "/x"})[0] == Path("/x/qemu/firmware")
    for unusable in ({}, {"XDG_CONFIG_HOME": "relative"}):
        assert search_path(unusable)[0] == Path.home() / ".config/qemu/firmware"


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(FirmwareMissing, match="nowhere"):
        find_firmware(FirmwareNeed(), [tmp_path / "nowhere"])


def test_descriptor_by_name(folders: Folders) -> None:
    features = ["secure-boot", "enrolled-keys", "requires-smm"]
    secure = read_firmware(folders.add(2, "50-secure", features=features))
    assert secure.description == "50-secure"
    assert secure.machine == ",smm=on"
    secured = secure.arguments.index("driver=cfi.pflash01,property=secure,value=on")
    assert secure.arguments[secured - 1] == "-global"
    plain = read_firmware(folders.add(2, "60-plain"))
    assert plain.machine == ""
    assert "-global" not in plain.arguments


def test_firmware_in_one_file(folders: Folders) -> None:
    found = read_firmware(Path(folders.file("rom.fd")))
    assert found.variables is None
    assert found.machine == ""
    assert found.arguments == ["-drive", f"if=pflash,unit=0,file={found.code.path},format=raw"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}]}, "not for pc"),
        ({"interface_types": ["bios"]}, "not UEFI"),
        ({"mapping": {"device": "memory"}}, "keeps no variables"),
        ({"mapping": 3}, "invalid"),
    ],
)
def test_descriptor_by_name_that_does_not_fit(
    folders: Folders, changes: dict[str, Any], why: str
) -> None:
    path = folders.add(2, "50-other", **changes)
    with pytest.raises(InputError, match=f"50-other.json: this firmware cannot be used: {why}"):
        read_firmware(path, "pc")


def test_qemu_with_smm(folders: Folders, tmp_path: Path) -> None:
    only_q35 = [{"architecture": "x86_64", "machines": ["pc-q35-*"]}]
    descriptor = folders.add(2, "50-secure", features=["requires-smm"], targets=only_q35)
    image = Path(folders.file("image"))
    image.write_bytes(bytes(512))
    request = RunRequest(image, firmware=descriptor)
    request.check_files()  # a descriptor has any size
    tcg = Qemu("qemu", Accelerator.TCG, Extension.SVM)
    command = tcg.prepare(request, tmp_path).command
    assert "q35,accel=tcg,smm=on" in command
    assert "driver=cfi.pflash01,property=secure,value=on" in command
    with pytest.raises(InputError, match="not for pc"):
        tcg.prepare(RunRequest(image, firmware=descriptor, machine=Machine.PC), tmp_path)
    unpacked = Qemu("ld.so", Accelerator.TCG, Extension.SVM, ("--library-path", "lib", "qemu"))
    command = unpacked.prepare(request, tmp_path).command
    start = command.index("ld.so")
    assert command[start + 1 : start + 5] == ("--library-path", "lib", "qemu", "-machine")

"""Finds UEFI firmware for QEMU by the descriptors that distributions install.

The format is QEMU's docs/interop/firmware.json. The user's folder takes precedence over
/etc, and /etc over the distribution's, file by file; an empty file disables a descriptor.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from efi_image.errors import FirmwareMissing, InputError

# machine types that QEMU also knows by a short name
_ALIASES = {"q35": "pc-q35-", "pc": "pc-i440fx-"}
_SECURE_FLASH = "driver=cfi.pflash01,property=secure,value=on"


class Format(Enum):
    """How a firmware file is stored."""

    RAW = "raw"
    QCOW2 = "qcow2"


class Feature(Enum):
    """The features that decide; descriptors know more."""

    SECURE_BOOT = "secure-boot"
    ENROLLED_KEYS = "enrolled-keys"
    REQUIRES_SMM = "requires-smm"


@dataclass(frozen=True, slots=True)
class FirmwareNeed:
    """The firmware that a run needs."""

    architecture: str = "x86_64"
    machine: str = "q35"
    secure_boot: bool = False
    enrolled_keys: bool = False
    smm: bool = False


@dataclass(frozen=True, slots=True)
class Flash:
    """The content of a flash chip."""

    path: Path
    format: Format

    @property
    def drive(self) -> str:
        """As in QEMU's `-drive`, where a comma is doubled."""
        return f"file={str(self.path).replace(',', ',,')},format={self.format.value}"


@dataclass(frozen=True, slots=True)
class Firmware:
    """Code, and the template of its variable store (None if one file has both)."""

    descriptor: Path
    description: str
    code: Flash
    variables: Flash | None
    features: frozenset[str]

    def copied(self, folder: Path) -> Firmware:
        """Copy the variables to `folder`, so that each run has its own. Raises InputError."""
        template = self.variables or self.code
        target = folder / f"variables.{template.format.value}"
        try:
            shutil.copyfile(template.path, target)
            target.chmod(0o600)
        except OSError as error:
            raise InputError(
                f"cannot be copied: {error.strerror}", where=str(template.path)
            ) from None
        copy = Flash(target, template.format)
        code = self.code if self.variables else copy
        variables = copy if self.variables else None
        return Firmware(self.descriptor, self.description, code, variables, self.features)

    @property
    def machine(self) -> str:
        """What QEMU's `-machine` needs after the machine's name."""
        return ",smm=on" if self._requires_smm else ""

    @property
    def arguments(self) -> list[str]:
        """QEMU's arguments, besides those of `-machine`."""
        read_only = ",readonly=on" if self.variables else ""
        chips = [f"if=pflash,unit=0,{self.code.drive}{read_only}"]
        if self.variables:
            chips.append(f"if=pflash,unit=1,{self.variables.drive}")
        # only code in SMM can write the variables
        secure = ["-global", _SECURE_FLASH] if self._requires_smm else []
        return [*secure, *(word for chip in chips for word in ("-drive", chip))]

    @property
    def _requires_smm(self) -> bool:
        return Feature.REQUIRES_SMM.value in self.features


def search_path(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The folders of descriptors, by precedence."""
    configured = environment.get("XDG_CONFIG_HOME", "")
    home = Path(configured) if configured.startswith("/") else Path("~/.config").expanduser()
    return [home / "qemu/firmware", Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware")]


def descriptors(folders: Sequence[Path]) -> list[Path]:
    """The descriptors in effect, by name."""
    effective: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
            effective.setdefault(path.name, path)
    return [effective[name] for name in sorted(effective) if effective[name].stat().st_size]


def find_firmware(need: FirmwareNeed, folders: Sequence[Path] | None = None) -> Firmware:
    """The first firmware that fits; raises FirmwareMissing with the reasons."""
    folders = search_path() if folders is None else folders
    refused: list[str] = []
    for path in descriptors(folders):
        fault = ""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            fault = _misfit(document, need)
            if not fault:
                return _read(path, document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            fault = f"invalid ({type(error).__name__}: {error})"
        refused.append(f"{path}: {fault}")
    raise FirmwareMissing(
        f"no UEFI firmware for the machine {need.machine} ({need.architecture}) in "
        + ", ".join(str(folder) for folder in folders),
        hint="`apt install ovmf`",
        details=tuple(refused),
    )


def read_firmware(path: Path, machine: str = "q35") -> Firmware:
    """The firmware of a file: a descriptor (NAME.json), or code and variables in one.

    Raises InputError if the descriptor is invalid or not for this machine.
    """
    if path.suffix != ".json":
        return Firmware(path, path.name, Flash(path.absolute(), Format.RAW), None, frozenset())
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        features = set(document["features"])
        need = FirmwareNeed(
            machine=machine, smm=True, enrolled_keys=Feature.ENROLLED_KEYS.value in features
        )
        fault = _misfit(document, need)
        if not fault:
            return _read(path, document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fault = f"invalid ({type(error).__name__}: {error})"
    raise InputError(f"this firmware cannot be used: {fault}", where=str(path))


def _misfit(document: Mapping[str, Any], need: FirmwareNeed) -> str:
    """Why a descriptor does not fit, or ''."""
    if "uefi" not in document["interface-types"]:
        return "not UEFI"
    if not any(_is_target(target, need) for target in document["targets"]):
        return f"not for {need.machine} ({need.architecture})"
    features = set(document["features"])
    for feature, wanted in (
        (Feature.SECURE_BOOT, need.secure_boot),
        (Feature.ENROLLED_KEYS, need.enrolled_keys),
    ):
        if wanted and feature.value not in features:
            return f"without {feature.value}"
    if Feature.ENROLLED_KEYS.value in features and not need.enrolled_keys:
        return "with enrolled-keys"
    if Feature.REQUIRES_SMM.value in features and not need.smm:
        return "requires-smm"
    mapping = document["mapping"]
    if mapping["device"] != "flash" or mapping.get("mode") == "stateless":
        return "keeps no variables"
    return ""


def _is_target(target: Mapping[str, Any], need: FirmwareNeed) -> bool:
    if target["architecture"] != need.architecture:
        return False
    names = {need.machine}
    if need.machine in _ALIASES:
        names.add(f"{_ALIASES[need.machine]}newest")
    return any(fnmatchcase(name, pattern) for name in names for pattern in target["machines"])


def _read(path: Path, document: Mapping[str, Any]) -> Firmware:
    mapping = document["mapping"]
    combined = mapping.get("mode", "split") == "combined"
    return Firmware(
        descriptor=path,
        description=str(document.get("description", path.stem)),
        code=_flash(mapping["executable"]),
        variables=None if combined else _flash(mapping["nvram-template"]),
        features=frozenset(document["features"]),
    )


def _flash(entry: Mapping[str, str]) -> Flash:
    flash = Flash(Path(entry["filename"]), Format(entry["format"]))
    if not flash.path.is_file():
        raise FileNotFoundError(f"{flash.path} is missing")
    return flash

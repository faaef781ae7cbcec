"""OVMF of the system and of the Bochs installation, and boots of many disks in one machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from efi_word import Ending, word_program
from fatdamage import make_fat
from harness import TIME_LIMIT, Harness

from efi_image.emulator import Debug, Emulator, EmulatorKind, ExitReason, RunRequest, choose
from efi_image.emulator.firmware import Feature, FirmwareNeed, find_firmware
from efi_image.emulator.qemu import newest_qemu

# A machine takes this many disks: OVMF 2026.08 shows nothing with 90 of them.
BATCH = 70
MEMORY = 1536  # MiB; OVMF takes 4 MiB for every FAT volume
_BLOCK = 1 << 16
_DEVICES = {512: "scsi-hd", 2048: "scsi-cd", 4096: "scsi-hd"}
_SAID = re.compile(r"zpp-word:(\d{6})([^;]*);")
_NUMBER = "######".encode("utf-16-le")


def write_descriptor(path: Path, code: Path, variables: Path, features: list[Feature]) -> Path:
    """Describes firmware for `RunRequest`."""
    flash = {
        key: {"filename": str(file), "format": "raw"}
        for key, file in (("executable", code), ("nvram-template", variables))
    }
    document = {
        "interface-types": ["uefi"],
        "mapping": {"device": "flash", **flash},
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
        "features": [feature.value for feature in features],
    }
    path.write_text(json.dumps(document))
    return path


@dataclass(frozen=True)
class Ovmf:
    """A build of OVMF: its version, code and empty variable store, and the emulator to run it."""

    version: str
    code: Path
    variables: Path
    secure: bool
    emulator: Emulator

    def descriptor(self, folder: Path, variables: Path | None = None) -> Path:
        """A descriptor for `RunRequest`, with another variable store if one is given."""
        path = folder / f"firmware-{self.version}.json"
        features = [Feature.REQUIRES_SMM] if self.secure else []
        return write_descriptor(path, self.code, variables or self.variables, features)

    def with_variables(self, folder: Path, variables: list[dict[str, object]]) -> Path:
        """A descriptor for `RunRequest`; its variable store has these, in virt-fw-vars' form."""
        source, store = folder / "variables.json", folder / "variables.fd"
        source.write_text(json.dumps({"version": 2, "variables": variables}))
        tool = Path(sys.executable).with_name("virt-fw-vars")
        subprocess.run(
            (tool, "--input", self.variables, "--output", store, "--set-json", source),
            check=True, capture_output=True,
        )  # fmt: skip
        return self.descriptor(folder, store)


def newest(harness: Harness, build: str = "") -> Ovmf:
    """That of the Bochs installation, with its QEMU; `build` is as in `.secboot`."""
    install = harness.bochs()
    parts = install.firmware_parts
    code, variables = parts / f"OVMF_CODE_4M{build}.fd", parts / "OVMF_VARS_4M.fd"
    version = _upstream(install.version.packages["ovmf"])
    return Ovmf(version, code, variables, bool(build), newest_qemu(install))


def installed(*, secure: bool = False) -> Ovmf:
    """That of the system."""
    found = find_firmware(FirmwareNeed(secure_boot=secure, smm=secure))
    assert found.variables is not None
    package = ("dpkg-query", "-W", "-f", "${Version}", "ovmf")
    version = subprocess.run(package, check=True, capture_output=True, text=True).stdout
    return Ovmf(
        _upstream(version), found.code.path, found.variables.path, secure,
        choose(EmulatorKind.QEMU),
    )  # fmt: skip


def _upstream(version: str) -> str:
    return re.split(r"[-+~]", version)[0]


def own_harness(harness: Harness, build: Ovmf) -> Harness:
    """A harness for this build, so that several can run at once."""
    folder = harness.folder / build.version
    folder.mkdir()
    return replace(harness, folder=folder, log=harness.log.with_suffix(f".{build.version}.log"))


@dataclass(frozen=True)
class Drive:
    """A disk image whose program says its number, and the sector size of its drive.

    What the machine writes stays in the image only if it is `writable`.
    """

    number: int
    image: Path
    sector: int = 512
    writable: bool = False


def numbered(data: bytes, number: int) -> bytes:
    """The image, with this number in its programs."""
    return data.replace(_NUMBER, f"{number:06}".encode("utf-16-le"))


def write_sparse(path: Path, data: bytes) -> None:
    """Writes a file; blocks of zeros become holes."""
    with path.open("wb") as file:
        for at in range(0, len(data), _BLOCK):
            piece = data[at : at + _BLOCK]
            if piece.strip(b"\0"):
                file.seek(at)
                file.write(piece)
        file.truncate(len(data))


def _batches(drives: Iterable[Drive]) -> Iterator[list[Drive]]:
    rest = iter(drives)
    while batch := list(islice(rest, BATCH)):
        yield batch


def started(
    harness: Harness,
    ovmf: Ovmf,
    drives: Sequence[Drive],
    variables: Path | None = None,
    *,
    sign: Callable[[bytes], bytes] = bytes,
    extra: tuple[str, ...] = (),
) -> dict[int, str]:
    """What each disk's program printed, by number: `starts`, or `starts` and the program's name.

    OVMF tries one disk after the other, because every program returns to it. Those that start
    nothing are missing. `sign` is for the last disk, which powers off; `extra` are QEMU's.
    """
    program = sign(word_program("end", Ending.POWER_OFF))
    end = make_fat(harness.folder, 12, name="end.img", program=program)
    blank = harness.folder / "blank.img"
    blank.write_bytes(bytes(1 << 20))
    results = {}
    descriptor = ovmf.descriptor(harness.folder, variables)
    for batch in _batches(drives):
        devices = enumerate([*batch, Drive(0, end)])
        words = [word for row in devices for word in _device(*row)]
        request = RunRequest(
            blank, memory=MEMORY, firmware=descriptor, timeout=TIME_LIMIT,
            debug=Debug(extra=(*extra, "-device", "virtio-scsi-pci,id=scsi", *words)),
        )  # fmt: skip
        boot = harness.boot_unchecked(request, ovmf.emulator)
        assert boot.reason is ExitReason.POWER_OFF, boot.serial[-2000:]
        for number, which in _SAID.findall(boot.serial):
            results[int(number)] = f"starts {which}".strip()
    return results


def _device(position: int, drive: Drive) -> Iterator[str]:
    sector = drive.sector
    kept = "readonly=on" if sector == 2048 else "snapshot=off" if drive.writable else "snapshot=on"
    yield from ("-drive", f"if=none,id=row{position},format=raw,{kept},file={drive.image}")
    size = f",logical_block_size={sector},physical_block_size={sector}" if sector == 4096 else ""
    place = f"bus=scsi.0,channel=0,scsi-id={position // 8},lun={position % 8}"
    yield "-device"
    yield f"{_DEVICES[sector]},{place},drive=row{position},bootindex={position + 1}{size}"

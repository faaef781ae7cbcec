"""ZppBoot's diagnosis agrees with the launch, and with what `zpp-image doctor` says about the file
that it writes. Whatever the ESP is like, the boot continues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from efi_word import Ending, word_program
from harness import EPYC, HASWELL, PLAIN, ROME, RYZEN, SKYLAKE, Harness

from efi_image.cli.main import main
from efi_image.doctor.machine import Machine, load, to_text
from efi_image.doctor.verdict import diagnose
from efi_image.emulator import EmulatorKind, ExitReason, RunRequest, choose
from efi_image.emulator.base import Launch
from efi_image.emulator.bochs import Bochs
from efi_image.emulator.qemu import Qemu
from efi_image.formats import zpp_conf

CONF = "/EFI/zpp/zpp.conf"
FILE = "/EFI/zpp/machine.json"
SAID = "zpp: diagnosis: "
BOCHS, QEMU = EmulatorKind.BOCHS, EmulatorKind.QEMU
WITHOUT_EPT = "core2_penryn_t9600"
ARROW_LAKE = "arrow_lake"
SAPPHIRE = "sapphire_rapids"


class WritingBochs(Bochs):
    """What the machine writes stays in the image."""

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        launch = super().prepare(request, work)
        text = (work / "bochsrc").read_text()
        changed = text.replace("mode=volatile, journal=disk.journal", "mode=flat")
        assert changed != text
        (work / "bochsrc").write_text(changed)
        return launch


class WritingQemu(Qemu):
    """What the machine writes stays in the image, or it cannot write."""

    drive = "snapshot=off"

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        launch = super().prepare(request, work)
        command = tuple(word.replace("snapshot=on", self.drive) for word in launch.command)
        assert command != launch.command
        return replace(launch, command=command)


class ReadOnlyQemu(WritingQemu):
    drive = "readonly=on"


def writing(
    kind: EmulatorKind, qemu: type[WritingQemu] = WritingQemu
) -> WritingBochs | WritingQemu:
    found = choose(kind)
    if isinstance(found, Bochs):
        return WritingBochs(found.install)
    assert isinstance(found, Qemu)
    return qemu(**{field.name: getattr(found, field.name) for field in fields(found)})


def image(harness: Harness) -> Path:
    """An image that diagnoses, launches, starts a program, and powers off."""
    program = harness.folder / "program.efi"
    program.write_bytes(word_program("end", Ending.POWER_OFF))
    made = harness.program_image(program)
    conf = harness.folder / "zpp.conf"
    assert main(["extract", str(made), CONF, "--to", str(harness.folder), "--force"]) == 0
    found = next(harness.folder.rglob("zpp.conf"))
    conf.write_text(replace(zpp_conf.parse(found.read_bytes()), check=True).to_text())
    assert main(["cp", "--force", str(conf), f"{made}:{CONF}"]) == 0
    return made


def boot(harness: Harness, request: RunRequest, emulator: WritingBochs | WritingQemu) -> list[str]:
    """The serial log of a boot to the power-off."""
    result = harness.boot_unchecked(request, emulator).require()
    assert result.reason is ExitReason.POWER_OFF
    assert "zpp-word:end" in result.serial  # the boot went on
    return [line.strip() for line in result.serial.splitlines()]


def after(lines: list[str], start: str) -> list[str]:
    """What follows `start` in the lines that have it."""
    return [line.partition(start)[2] for line in lines if start in line]


def saved(image_file: Path, folder: Path) -> tuple[str, Machine]:
    assert main(["extract", str(image_file), FILE, "--to", str(folder / "out"), "--force"]) == 0
    file = next((folder / "out").rglob("machine.json"))
    return file.read_text(), load(file)


@pytest.mark.parametrize(
    ("kind", "model", "cpus"),
    [
        (BOCHS, HASWELL, 4),
        (BOCHS, SKYLAKE, 2),
        (BOCHS, SAPPHIRE, 2),
        (BOCHS, ARROW_LAKE, 1),
        (BOCHS, RYZEN, 2),
        (BOCHS, WITHOUT_EPT, 2),
        (QEMU, EPYC, 4),
        (QEMU, ROME, 2),
        (QEMU, PLAIN, 2),
        (QEMU, "max", 1),
        (QEMU, "qemu64,+svm", 2),
        (QEMU, "Nehalem", 1),
        (QEMU, "EPYC,+svm,-nx", 1),
    ],
    ids=lambda value: value.value if isinstance(value, EmulatorKind) else str(value),
)
def test_diagnosis_is_what_the_launch_does(
    harness: Harness, kind: EmulatorKind, model: str, cpus: int
) -> None:
    made = image(harness)
    request = RunRequest(made, cpus=cpus, cpu_model=model)
    lines = boot(harness, request, writing(kind))
    text, machine = saved(made, harness.folder)
    assert to_text(machine) == text
    assert len(machine.cpus) == cpus
    assert machine.memory
    verdict = diagnose(machine)
    assert verdict.record() == machine.verdict

    said = after(lines, SAID)
    assert any(line.startswith(f"{cpus} x ") for line in said)
    assert "saved to \\EFI\\zpp\\machine.json" in said
    launched = after(lines, "zpp: hypervisor ")
    if verdict.runs:
        assert f"zpp will run on this machine: {verdict.vendor} on {cpus} CPU" in "".join(said)
        assert len(launched) == 1
    else:
        reason = f"{verdict.reason} ({verdict.detail})" if verdict.detail else verdict.reason
        words = f"zpp will not run on this machine: CPU {verdict.cpu}: {reason}"
        assert words + (f"; to fix it, {verdict.fix}" if verdict.fix else "") in said
        assert after(lines, "zpp: no hypervisor: ") == [reason]
        assert launched == []


def fill(image_file: Path, folder: Path) -> None:
    """Leave no free cluster on the ESP."""
    size = 1 << 20
    number = 0
    while size >= 512:
        file = folder / "filling"
        file.write_bytes(b"x" * size)
        if main(["cp", str(file), f"{image_file}:/filling{number}"]) == 0:
            number += 1
        else:
            size //= 2


def foreign_file(image_file: Path, folder: Path) -> None:
    file = folder / "machine.json"
    file.write_text('{"format": "of somebody else"}\n')
    assert main(["cp", str(file), f"{image_file}:{FILE}"]) == 0


def directory(image_file: Path, _folder: Path) -> None:
    assert main(["mkdir", f"{image_file}:{FILE}"]) == 0


def older_one(image_file: Path, folder: Path) -> None:
    file = folder / "machine.json"
    file.write_text('{\n  "format": "zpp-machine",\n  "old": "' + 100_000 * "x" + '"}\n')
    assert main(["cp", str(file), f"{image_file}:{FILE}"]) == 0


def nothing(_image_file: Path, _folder: Path) -> None:
    pass


PATH = "\\EFI\\zpp\\machine.json"
FOREIGN = f"not saved: {PATH} was not written by zpp; rename it"


@pytest.mark.parametrize(
    ("spoil", "qemu", "line"),
    [
        (fill, WritingQemu, f"not saved: cannot write {PATH}: Volume Full"),
        (nothing, ReadOnlyQemu, f"not saved: cannot write {PATH}: Write Protected"),
        (foreign_file, WritingQemu, FOREIGN),
        (directory, WritingQemu, FOREIGN),
        (older_one, WritingQemu, f"saved to {PATH}"),
    ],
    ids=["full", "read-only", "foreign-file", "directory", "older-one"],
)
def test_esp_that_cannot_be_written(
    harness: Harness, spoil: Callable[[Path, Path], None], qemu: type[WritingQemu], line: str
) -> None:
    made = image(harness)
    spoil(made, harness.folder)
    before = made.read_bytes()
    request = RunRequest(made, cpus=1, cpu_model=EPYC)
    lines = boot(harness, request, writing(QEMU, qemu))
    assert after(lines, SAID)[-1] == line
    assert after(lines, "zpp: hypervisor ")
    if spoil is older_one:
        text, machine = saved(made, harness.folder)
        assert to_text(machine) == text
    elif spoil is not fill:
        assert made.read_bytes() == before  # nothing was written
    assert main(["verify", str(made)]) == 0

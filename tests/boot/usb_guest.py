"""Virtual machines with USB sticks: one that runs zpp-image, and one that boots from a stick."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from harness import Harness

from efi_image.emulator import BootResult, RunRequest
from efi_image.emulator.base import Launch, guard
from efi_image.emulator.qemu import Qemu, find_qemus
from efi_image.emulator.qmp import Qmp

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parent / "guest/usb/write_sticks.py"
TIME_LIMIT = 400.0  # seconds; a session takes one or two minutes on an idle machine
BOOT_LIMIT = 150.0  # seconds; a boot takes six on an idle machine
MIB = 1 << 20


@dataclass(frozen=True)
class Stick:
    """A USB stick. `kind` is QEMU's device: usb-storage, usb-uas or usb-bot.

    `drive` are additional options of its drive; `node` replaces the raw file as its block device.
    """

    serial: str
    file: Path
    kind: str = "usb-storage"
    sector_size: int = 512
    drive: str = ""
    node: str = ""
    plugged: bool = True

    def drive_arguments(self) -> tuple[str, ...]:
        source = self.node or f"format=raw,file={self.file}"
        options = f"if=none,id={self.serial},{source},cache=unsafe,werror=report,rerror=report"
        return ("-drive", options + self.drive)

    def device_arguments(self, more: str = "") -> tuple[str, ...]:
        if self.kind == "usb-storage":
            device = f"usb-storage,drive={self.serial},serial={self.serial},id=usb-{self.serial}"
            return ("-device", f"{device},removable=on{more}")
        size = f"logical_block_size={self.sector_size},physical_block_size={self.sector_size}"
        disk = (
            f"scsi-hd,bus=usb-{self.serial}.0,drive={self.serial},vendor=ACME,product=Stick,{size}"
        )
        hub = f"{self.kind},id=usb-{self.serial},serial={self.serial}"
        return ("-device", hub, "-device", f"{disk},removable=on{more}")


@dataclass(frozen=True)
class Step:
    """The result of a step of the plan."""

    name: str
    code: int
    seconds: float
    out: str = ""
    err: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.out)


# called repeatedly while the guest runs, with the serial log so far
Poll = Callable[[Qmp, str], None]


def session(
    harness: Harness, sticks: list[Stick], plan: list[dict[str, Any]], poll: Poll | None = None
) -> dict[str, Step]:
    """Boots the guest with the sticks and runs the plan; returns the results by step name."""
    guest = harness.build_directory / "usb-guest"
    for name in ("vmlinuz", "initrd.img"):
        if not (guest / name).exists():
            pytest.fail(f"{guest / name} is missing: run `make linux-guest`", pytrace=False)
    plan_file, serial = harness.folder / "plan.json", harness.folder / "serial"
    plan_file.write_text(json.dumps(plan))
    words = f"zpp.run={PROGRAM} zpp.plan={plan_file} zpp.python={sys.executable}"
    command = [
        *guard(), "qemu-system-x86_64", *"-machine q35,accel=tcg -cpu max -smp 2 -m 768".split(),
        *"-nodefaults -no-user-config -display none -no-reboot".split(),
        *("-kernel", str(guest / "vmlinuz"), "-initrd", str(guest / "initrd.img")),
        *("-append", f"console=ttyS0 quiet cryptomgr.notests panic=-1 {words}"),
        *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"),
        *("-serial", f"file:{serial}", "-qmp", f"unix:{harness.folder / 'qmp'},server=on,wait=off"),
        *("-device", "qemu-xhci,id=xhci,p2=15,p3=15"),
    ]  # fmt: skip
    for stick in sticks:
        command += stick.drive_arguments()
        command += stick.device_arguments() if stick.plugged else ()
    serial.touch()
    errors = harness.folder / "qemu.err"
    with (
        errors.open("wb") as err,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=err, stderr=err) as machine,
    ):
        try:
            _watch(machine, harness, serial, poll)
        finally:
            machine.kill()
            machine.wait()
            harness.log.parent.mkdir(parents=True, exist_ok=True)
            harness.log.write_bytes(serial.read_bytes() + errors.read_bytes())
    return _steps(harness, serial.read_text(errors="replace"), plan)


def _watch(
    machine: subprocess.Popen[bytes], harness: Harness, serial: Path, poll: Poll | None
) -> None:
    end = time.monotonic() + TIME_LIMIT
    qmp = Qmp(harness.folder / "qmp") if poll else None
    try:
        while machine.poll() is None and time.monotonic() < end:
            if qmp and poll:
                poll(qmp, serial.read_text(errors="replace"))
            time.sleep(0.05)
    finally:
        if qmp:
            qmp.close()


def _steps(harness: Harness, text: str, plan: list[dict[str, Any]]) -> dict[str, Step]:
    lines = [line[5:] for line in text.splitlines() if line.startswith("step {")]
    steps = {step.name: step for step in (Step(**json.loads(line)) for line in lines)}
    missing = [step["name"] for step in plan if step["name"] not in steps]
    if missing or "usb-guest: FAIL" in text:
        tail = "\n".join(text.splitlines()[-40:])
        pytest.fail(f"steps without a result: {missing}; log: {harness.log}\n{tail}", pytrace=False)
    return steps


def written_bytes(file: Path) -> int:
    """The allocated bytes of a sparse file."""
    return file.stat().st_blocks * 512


@dataclass(frozen=True)
class FromUsb(Qemu):
    """QEMU with a USB stick as its only disk."""

    stick: Stick = Stick("", Path())

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        launch = super().prepare(request, work)
        words = list(launch.command)
        place = words.index("virtio-blk-pci,drive=image,bootindex=0") - 1
        usb = ("-device", "qemu-xhci", *self.stick.device_arguments(",bootindex=0"))
        words[place : place + 2] = usb
        words = [
            word.replace("if=none,id=image", f"if=none,id={self.stick.serial}") for word in words
        ]
        return replace(launch, command=tuple(words))


def boot_from(harness: Harness, stick: Stick, expect: tuple[str, ...]) -> BootResult:
    """Boots a machine with AMD-V from a stick until its serial log matches `expect`."""
    qemu = next(q for q in find_qemus() if q.accelerator.value == "tcg")
    emulator = FromUsb(qemu.program, qemu.accelerator, qemu.extensions, stick=stick)
    request = RunRequest(stick.file, cpus=2, expect=expect, timeout=BOOT_LIMIT)
    log = harness.log.with_name(f"{harness.log.stem}-{stick.serial}.log")
    return replace(harness, log=log).boot_unchecked(request, emulator).require()

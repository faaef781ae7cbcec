"""A virtual machine with USB sticks in which zpp-image runs, and one that boots from a stick."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from lab import Lab

from efi_image.emulator import BootResult, RunRequest
from efi_image.emulator.base import Launch, guard
from efi_image.emulator.qemu import Qemu, find_qemus

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parent / "guest/usb/write_sticks.py"
TIME_LIMIT = 400.0  # seconds; a session takes one to two minutes on an idle machine
BOOT_LIMIT = 150.0  # a boot takes six seconds there
MIB = 1 << 20


@dataclass(frozen=True)
class Stick:
    """A USB stick: by usb-storage, UAS, or bulk-only transport with a SCSI disk behind it.

    `drive` are further options of its drive, `node` another block device than a raw file.
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


class Qmp:
    """Commands to a running QEMU."""

    def __init__(self, path: Path) -> None:
        end = time.monotonic() + 30
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.05)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r")
        self._lines.readline()
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: object) -> Any:
        self._socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self._lines.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']}")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@dataclass(frozen=True)
class Step:
    """What a step of the plan gave."""

    name: str
    code: int
    seconds: float
    out: str = ""
    err: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.out)


# called again and again while the guest runs, with what it said so far
Meddle = Callable[[Qmp, str], None]


def session(
    lab: Lab, sticks: list[Stick], plan: list[dict[str, Any]], meddle: Meddle | None = None
) -> dict[str, Step]:
    """Boot the guest with the sticks and do the plan; what each step gave, by its name."""
    guest = lab.build_directory / "usb-guest"
    for name in ("vmlinuz", "initrd.img"):
        if not (guest / name).exists():
            pytest.fail(f"{guest / name} is missing: run `make linux-guest`", pytrace=False)
    plan_file, serial = lab.folder / "plan.json", lab.folder / "serial"
    plan_file.write_text(json.dumps(plan))
    words = f"zpp.run={PROGRAM} zpp.plan={plan_file} zpp.python={sys.executable}"
    command = [
        *guard(), "qemu-system-x86_64", *"-machine q35,accel=tcg -cpu max -smp 2 -m 768".split(),
        *"-nodefaults -no-user-config -display none -no-reboot".split(),
        *("-kernel", str(guest / "vmlinuz"), "-initrd", str(guest / "initrd.img")),
        *("-append", f"console=ttyS0 quiet cryptomgr.notests panic=-1 {words}"),
        *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"),
        *("-serial", f"file:{serial}", "-qmp", f"unix:{lab.folder / 'qmp'},server=on,wait=off"),
        *("-device", "qemu-xhci,id=xhci,p2=15,p3=15"),
    ]  # fmt: skip
    for stick in sticks:
        command += stick.drive_arguments()
        command += stick.device_arguments() if stick.plugged else ()
    serial.touch()
    errors = lab.folder / "qemu.err"
    with (
        errors.open("wb") as err,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=err, stderr=err) as machine,
    ):
        try:
            _watch(machine, lab, serial, meddle)
        finally:
            machine.kill()
            machine.wait()
            lab.log.parent.mkdir(parents=True, exist_ok=True)
            lab.log.write_bytes(serial.read_bytes() + errors.read_bytes())
    return _steps(lab, serial.read_text(errors="replace"), plan)


def _watch(machine: subprocess.Popen[bytes], lab: Lab, serial: Path, meddle: Meddle | None) -> None:
    end = time.monotonic() + TIME_LIMIT
    qmp = Qmp(lab.folder / "qmp") if meddle else None
    try:
        while machine.poll() is None and time.monotonic() < end:
            if qmp and meddle:
                meddle(qmp, serial.read_text(errors="replace"))
            time.sleep(0.05)
    finally:
        if qmp:
            qmp.close()


def _steps(lab: Lab, text: str, plan: list[dict[str, Any]]) -> dict[str, Step]:
    lines = [line[5:] for line in text.splitlines() if line.startswith("step {")]
    steps = {step.name: step for step in (Step(**json.loads(line)) for line in lines)}
    missing = [step["name"] for step in plan if step["name"] not in steps]
    if missing or "usb-guest: FAIL" in text:
        tail = "\n".join(text.splitlines()[-40:])
        pytest.fail(f"steps not done: {missing}; log: {lab.log}\n{tail}", pytrace=False)
    return steps


def written_bytes(file: Path) -> int:
    """How much of a sparse file there is."""
    return file.stat().st_blocks * 512


@dataclass(frozen=True)
class FromUsb(Qemu):
    """QEMU whose only disk is a USB stick."""

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


def boot_from(lab: Lab, stick: Stick, expect: tuple[str, ...]) -> BootResult:
    """Boot a machine with AMD-V from a stick until that is seen on its serial port."""
    qemu = next(q for q in find_qemus() if q.accelerator.value == "tcg")
    engine = FromUsb(qemu.program, qemu.accelerator, qemu.extensions, stick)
    request = RunRequest(stick.file, cpus=2, expect=expect, timeout=BOOT_LIMIT)
    log = lab.log.with_name(f"{lab.log.stem}-{stick.serial}.log")
    return replace(lab, log=log).attempt(request, engine).require()

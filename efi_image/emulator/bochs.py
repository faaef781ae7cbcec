"""Bochs: emulates VT-x (Intel models) and AMD-V (ryzen) in software, with its own OVMF."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from string import Template

from efi_image.emulator.base import (
    End,
    ExitReason,
    Launch,
    guard,
    runs,
)
from efi_image.emulator.bochs_install import BochsInstall
from efi_image.emulator.bochs_parts import data_file
from efi_image.emulator.request import Machine, Medium, RunRequest
from efi_image.emulator.serial_line import DEVICE
from efi_image.errors import EmulatorFailed, InputError, UsageError

TSC_HZ = 100_000_000  # `ips` of ovmf/bochs/bochsrc
DEFAULT_MODEL = "corei7_haswell_4770"
# APs that wait in MWAIT make a machine with 4 CPUs about 100 times slower
_EXCLUDED = ("mwait", "mwaitx")
_UNREPEATABLE = ("rdrand", "rdseed")
# a guest's wish to end is a panic of the device that it is written to
_ENDS = {
    ">>PANIC<< ACPI control: soft power off": ExitReason.POWER_OFF,
    ">>PANIC<< Shutdown port: shutdown requested": ExitReason.SHUTDOWN_PORT,
}
# failed VM entries, faults that stop a CPU, and Bochs's own panics
_TELLING = re.compile(r"VMENTER FAIL|VMFAIL|VMABORT|VMX abort|3rd \(\d+\) exception|>>PANIC<<")
_STOPPED = re.compile("|".join([*map(re.escape, _ENDS), r">>PANIC<< SIGNAL \d+ caught"]))
_MAX_PROBLEMS = 20
_MEDIA = {
    # writes go to the journal, never to the image
    Medium.DISK: "type=disk, path=disk.img, mode=volatile, journal=disk.journal",
    Medium.OPTICAL: "type=cdrom, path=disk.img, status=inserted",
}
_SHARE = "type=disk, path=share.img, mode=volatile, journal=share.journal"


@dataclass(frozen=True, slots=True)
class CpuModel:
    """A CPU model of Bochs, with features that are added or left out."""

    name: str
    added: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str) -> CpuModel:
        """From `MODEL[,+FEATURE][,-FEATURE]`; raises UsageError."""
        name, *changes = (text or DEFAULT_MODEL).split(",")
        for word in (name, *(change[1:] for change in changes)):
            if not re.fullmatch(r"\w+", word, re.ASCII):
                raise UsageError(
                    f"is not a CPU model: {text!r}",
                    where="--cpu-model",
                    hint="write MODEL[,+FEATURE][,-FEATURE]",
                )
        if any(change[0] not in "+-" for change in changes):
            raise UsageError(
                f"has a feature without + or -: {text!r}",
                where="--cpu-model",
                hint="write MODEL[,+FEATURE][,-FEATURE]",
            )
        return CpuModel(
            name,
            tuple(change[1:] for change in changes if change[0] == "+"),
            tuple(change[1:] for change in changes if change[0] == "-"),
        )

    def options(self, *, deterministic: bool) -> str:
        """The features as options of the `cpu` line in the bochsrc."""
        excluded = [*_EXCLUDED, *(_UNREPEATABLE if deterministic else ()), *self.excluded]
        text = f'exclude_features="{",".join(dict.fromkeys(excluded))}", '
        if self.added:
            text = f'add_features="{",".join(self.added)}", ' + text
        return text


@dataclass(frozen=True, slots=True)
class Bochs:
    """Bochs, as `zpp-image bochs install` installs it."""

    install: BochsInstall

    @property
    def name(self) -> str:
        return "bochs"

    @property
    def description(self) -> str:
        return f"Bochs ({self.install.version.summary})"

    @property
    def default_model(self) -> str:
        return DEFAULT_MODEL

    def check(self, request: RunRequest) -> None:
        check_devices(request)
        self._check_model(CpuModel.parse(request.cpu_model))

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        model = CpuModel.parse(request.cpu_model)
        firmware = request.firmware or self.install.firmware
        for link, target in (
            ("root", self.install.root),
            ("disk.img", request.image),
            ("firmware.fd", firmware),
        ):
            (work / link).symlink_to(target.absolute())
        (work / "bochsrc").write_text(_bochsrc(request, model, firmware), encoding="utf-8")
        root = Path("root")
        return Launch(
            command=(
                *isolation(),
                *guard(),
                *debug_port(request),
                *self.install.command("-q", "-f", "bochsrc", root=root),
            ),
            work=work,
            environment=self.install.environment(root),
            stop_signal=signal.SIGINT,  # Bochs logs the state of every CPU then
        )

    def end(self, status: int, log: str) -> End:
        """A panic ends Bochs with exit status 1."""
        reasons = [reason for panic, reason in _ENDS.items() if panic in log]
        return End(reasons[0] if status == 1 and reasons else None)

    def problems(self, log: str) -> tuple[str, ...]:
        found = [
            line for line in log.splitlines() if _TELLING.search(line) and not _STOPPED.search(line)
        ]
        return tuple(found[:_MAX_PROBLEMS])

    def unusual(self, log: str) -> tuple[str, ...]:
        return tuple(log.splitlines())

    def models(self) -> list[str]:
        """The CPU models that this Bochs knows."""
        done = subprocess.run(
            self.install.command("--help", "cpu"), capture_output=True, text=True, errors="replace",
            env={**os.environ, **self.install.environment()}, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        text = done.stdout + done.stderr
        return re.findall(r"^(\w+)$", text.partition("Supported CPU models:")[2], re.MULTILINE)

    def _check_model(self, model: CpuModel) -> None:
        known = self.models()
        if known and model.name not in known:
            raise UsageError(
                f"Bochs has no CPU model {model.name}", hint=f"use one of: {' '.join(known)}"
            )


def check_devices(request: RunRequest) -> None:
    """Raise UsageError for what Bochs does not have."""
    devices = request.devices
    if request.machine not in (None, Machine.PC):
        raise UsageError(f"Bochs has no machine {request.machine.value}", hint="use --machine pc")
    for is_asked, what in (
        (request.medium not in _MEDIA, "USB medium"),
        (request.debug.gdb, "GDB server"),
        (devices.display, "window here (--display)"),
        (devices.screenshot, "way to save its screen (--screenshot)"),
        (devices.network, "network (--network, --forward)"),
    ):
        if is_asked:
            raise UsageError(f"Bochs has no {what}", hint="use --emulator qemu")


def _bochsrc(request: RunRequest, model: CpuModel, firmware: Path) -> str:
    size = firmware.stat().st_size
    if not 0 < size <= 16 << 20 or size % 0x10000:
        raise InputError(
            "is not firmware for Bochs: its size must be a multiple of 64 KiB, up to 16 MiB",
            where=str(firmware),
        )
    template = Template(data_file("bochsrc").read_text(encoding="utf-8"))
    text = template.substitute(
        memory=request.memory,
        medium=_MEDIA[request.medium],
        serial=f"mode=term, dev={DEVICE}" if request.console else "mode=file, dev=serial",
        boot="cdrom" if request.medium is Medium.OPTICAL else "disk",
        firmware_address=f"{(1 << 32) - size:#x}",
        model=model.name,
        cpus=request.cpus,
        features=model.options(deterministic=request.debug.deterministic),
    )
    if request.devices.share:
        text += f"ata0-slave: {_SHARE}\n"
    return text + "".join(f"{line}\n" for line in request.debug.extra)


def debug_port(request: RunRequest) -> tuple[str, ...]:
    """A prefix for the file of the trace: Bochs prints the bytes of port E9H."""
    if request.debug.trace is None:
        return ()
    return ("sh", "-c", 'exec "$@" >"$0"', str(request.debug.trace.absolute()))


def isolation() -> tuple[str, ...]:
    """A prefix that gives a command an empty network; raises EmulatorFailed.

    Without it, the display of Bochs would listen on all addresses.
    """
    for options in (("--net",), ("--map-root-user", "--net")):
        if runs(("unshare", *options, "true")):
            return ("unshare", *options)
    raise EmulatorFailed(
        "Bochs cannot run: this machine allows no network namespace",
        hint="run it as root, or `sysctl -w user.max_user_namespaces=1000`",
    )

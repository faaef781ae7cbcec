"""A request to boot an image."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from efi_image.errors import InputError, UsageError
from efi_image.formats.detect import HEAD, is_raw
from efi_image.formats.disk import refuse_other_file
from efi_image.io.atomic import check_output, refuse_input
from efi_image.io.medium import open_raw

TRACE_PORT = 0xE9  # the only debug port that Bochs has
LOG_ENDINGS = ("raw", "emulator")  # files beside the log
SCREENSHOTS = (".png", ".ppm")


class Machine(Enum):
    """The kind of PC, by its chipset: `--machine`."""

    Q35 = "q35"
    PC = "pc"  # i440FX


class Medium(Enum):
    """The kind of drive that has the image: `--medium`."""

    DISK = "disk"
    OPTICAL = "optical"
    USB = "usb"

    @property
    def sector(self) -> int:
        """Bytes of a sector; an image is a whole number of them."""
        return 2048 if self is Medium.OPTICAL else 512


@dataclass(frozen=True, slots=True)
class Debug:
    """Options for debugging, which the guest need not notice."""

    deterministic: bool = False  # with one CPU: every run is the same
    keep_work: bool = False  # keep the work directory
    extra: tuple[str, ...] = ()  # QEMU: arguments; Bochs: lines of the bochsrc
    gdb: str = ""  # HOST:PORT of the GDB server; '' for none
    stopped: bool = False  # a debugger starts the CPUs
    trace: Path | None = None  # gets the bytes of the debug port at TRACE_PORT


@dataclass(frozen=True, slots=True)
class Forward:
    """A TCP port of this machine, on its loopback address, that leads to a port of the guest."""

    host: int
    guest: int

    @staticmethod
    def parse(text: str) -> Forward:
        """From `HOSTPORT:GUESTPORT`; raises UsageError."""
        words = text.split(":")
        numbers = [int(word) if word.isascii() and word.isdecimal() else 0 for word in words]
        if len(numbers) != 2 or not all(0 < number < 0x10000 for number in numbers):
            raise UsageError(
                f"is not HOSTPORT:GUESTPORT: {text!r}", where="--forward", hint="write 2222:22"
            )
        return Forward(*numbers)


@dataclass(frozen=True, slots=True)
class Devices:
    """The machine's devices other than its disk and its serial port."""

    display: bool = False  # a window with the machine's screen
    screenshot: Path | None = None  # gets the screen at the end: .ppm or .png
    share: Path | None = None  # a folder, which the guest sees as a second disk with FAT
    network: bool = False  # NAT to the networks of this machine
    forwards: tuple[Forward, ...] = ()

    @property
    def screen(self) -> bool:
        """Whether the machine needs a graphics adapter."""
        return self.display or self.screenshot is not None


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A boot of an image. `timeout` is in seconds (0: none), `memory` in MiB.

    The run ends when the machine powers off, or as soon as every expression of `expect` was
    seen, unless `until_power_off`. With `verdicts` it also ends when the guest shows that it
    failed (efi_image.emulator.verdict). With `console` the serial port takes input. `log` gets
    the serial port's readable text, `log`.raw its bytes, and `log`.emulator the emulator's own
    log. Raises UsageError for values out of range.
    """

    image: Path
    cpus: int = 1
    memory: int = 512
    cpu_model: str = ""  # MODEL[,+FEATURE][,-FEATURE]; '': the emulator's default
    machine: Machine | None = None  # None: the emulator's default
    medium: Medium = Medium.DISK
    timeout: float = 0
    expect: tuple[str, ...] = ()
    until_power_off: bool = False
    verdicts: bool = False
    console: bool = False
    log: Path | None = None
    firmware: Path | None = None  # see firmware.read_firmware(); None: the emulator's own
    devices: Devices = field(default_factory=Devices)
    debug: Debug = field(default_factory=Debug)

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise UsageError(f"must be at least 1, not {self.cpus}", where="--cpus")
        if self.memory < 64:
            raise UsageError(f"must be at least 64 MiB, not {self.memory}", where="--memory")
        if not self.timeout >= 0:  # nor is NaN
            raise UsageError(f"must be 0 or more seconds, not {self.timeout:g}", where="--timeout")
        for expression in self.expect:
            try:
                re.compile(expression)
            except re.error as error:
                raise UsageError(
                    f"is not a regular expression: {expression!r} ({error})", where="--expect"
                ) from None

    def check_files(self) -> None:
        """Raise InputError unless the files that the run reads are usable."""
        self._check_log()
        self._check_devices()
        is_descriptor = self.firmware is not None and self.firmware.suffix == ".json"
        firmware_unit = 1 if is_descriptor else 512
        for path, sector in ((self.image, self.medium.sector), (self.firmware, firmware_unit)):
            if path is None:
                continue
            try:
                with path.open("rb") as file:
                    raw = is_raw(file.read(HEAD))
                    size = file.seek(0, 2)
            except OSError as error:
                raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from None
            if path is self.image and raw:
                with open_raw(path) as medium:
                    refuse_other_file(medium)
            if size == 0:
                raise InputError("is empty", where=str(path))
            if raw and size % sector:
                raise InputError(f"is not a whole number of {sector}-byte sectors", where=str(path))

    def _check_devices(self) -> None:
        share, screenshot = self.devices.share, self.devices.screenshot
        if share is not None and not share.is_dir():
            raise InputError("is not a directory", where=str(share))
        if screenshot is None:
            return
        if screenshot.suffix.lower() not in SCREENSHOTS:
            raise UsageError("ends neither in .png nor in .ppm", where=str(screenshot))
        check_output(screenshot)
        refuse_input(screenshot, self.image, self.firmware)

    def _check_log(self) -> None:
        """Raise UsageError if a log file is also an input."""
        if self.log is None:
            return
        logs = [self.log, *(Path(f"{self.log}.{end}") for end in LOG_ENDINGS)]
        for log in logs:
            refuse_input(log, self.image, self.firmware)

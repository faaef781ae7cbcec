"""What zpp.ko shows of the hypervisor in /sys/kernel/debug/zpp (linux/debugfs.c)."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from efi_image.errors import InputError, MissingError, reason_of
from efi_image.formats.vm_trace import Vendor

FOLDER = Path("/sys/kernel/debug/zpp")
PAGE_SIZE = 4096
_VENDORS = {"VT-x": Vendor.VTX, "AMD-V": Vendor.AMDV}
_T = TypeVar("_T")
_NO_MODULE = "load zpp.ko with client=1 (docs/how-to/linux.md)"


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU by Linux's number; `index` is the hypervisor's own, None unless it is virtualized."""

    number: int
    state: str  # "virtualized", "bare" or "offline"
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The hypervisor and each CPU of Linux. `cpu_count` includes CPUs that may be plugged in."""

    zpp_version: str
    vendor: Vendor
    cpu_count: int
    memory: int  # bytes
    cpus: tuple[Cpu, ...]


@dataclass(frozen=True, slots=True)
class Counter:
    """VM exits of one reason on a CPU, by the hypervisor's number, since its launch."""

    index: int
    reason: int
    count: int


def read_status(folder: Path = FOLDER) -> Status:
    """Raises MissingError if zpp.ko shows no hypervisor, InputError if a line is not valid."""
    values: dict[str, str] = {}
    cpus: list[Cpu] = []
    for line in _lines(folder / "state"):
        name, _, value = line.partition(" ")
        if name == "cpu":
            cpus.append(_parse(folder / "state", line, _cpu))
        else:
            values[name] = value
    try:
        return Status(
            values["version"],
            _VENDORS[values["uses"]],
            int(values["cpus"]),
            int(values["pages"]) * PAGE_SIZE,
            tuple(cpus),
        )
    except (KeyError, ValueError):
        raise InputError(
            "is not the state that this version of zpp.ko writes", where=str(folder / "state")
        ) from None


def read_counters(folder: Path = FOLDER) -> tuple[Counter, ...]:
    """Raises as read_status()."""
    rows = _lines(folder / "exits")
    return tuple(_parse(folder / "exits", row, _counter) for row in rows if row[:1].isdigit())


def read_log(folder: Path = FOLDER) -> str:
    """The part of the core's log that is not overwritten yet; raises as read_status()."""
    return _text(folder / "log")


def _cpu(line: str) -> Cpu:
    match = re.fullmatch(r"cpu (\d+) (?:index (\d+)|(offline|bare))", line)
    if match is None:
        raise ValueError
    number, index, state = match.groups()
    return Cpu(int(number), state or "virtualized", None if index is None else int(index))


def _counter(line: str) -> Counter:
    index, reason, count = line.split()
    return Counter(int(index), int(reason, 16), int(count))


def _parse(path: Path, line: str, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(line)
    except ValueError:
        raise InputError(f"has a line that is not valid: {line}", where=str(path)) from None


def _lines(path: Path) -> Iterator[str]:
    yield from _text(path).splitlines()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise _why_not(path, error) from None


def _why_not(path: Path, error: OSError) -> Exception:
    """Why a file of the folder cannot be read."""
    if path.parent != FOLDER:
        return InputError(f"cannot be read ({reason_of(error)})", where=str(path))
    if isinstance(error, PermissionError):
        return MissingError("is open to root only", where=str(FOLDER), hint="run this as root")
    if error.errno == errno.ENODEV:
        return MissingError(
            "zpp no longer runs on this machine: suspend to RAM or hibernation ended it",
            hint="restart the machine to have it again",
        )
    if not FOLDER.parent.is_mount():
        return MissingError(
            "is not mounted, so zpp.ko cannot show the hypervisor",
            where=str(FOLDER.parent),
            hint=f"on Linux, `mount -t debugfs debugfs {FOLDER.parent}`",
        )
    return MissingError("is not loaded, or shows nothing", where="zpp.ko", hint=_NO_MODULE)

"""What a boot of the small Linux guest said on its serial port, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass

SIGNATURE = "ZppZppZppZpp"


@dataclass(frozen=True)
class View:
    """One start of the machine, from the firmware to the power-off or reboot."""

    held: dict[int, str]  # CPU → the vendor's extension it is held with
    no_hypervisor: str  # why zpp left the machine alone, or ""
    release: str  # of Linux, or ""
    cpus: int  # as Linux counts them
    seen: dict[int, str]  # CPU → the hypervisor a program sees there ("" for none)
    offline: tuple[int, ...]
    online: tuple[int, ...]
    seen_again: dict[int, str]  # the same of a CPU that came online again
    problems: tuple[str, ...]  # of the kernel's log
    failures: tuple[str, ...]  # of the guest's own checks
    done: bool


def read(serial: str) -> View:
    """The view of a serial log that has one start in it."""
    asked = _hypervisors(serial)
    again = {cpu: name for cpu, name in asked if f"CPU {cpu} online" in serial}
    return View(
        held={
            int(cpu): vendor
            for cpu, vendor in _all(r"^zpp: CPU (\d+) \(APIC ID \d+\) held with (.+)$", serial)
        },
        no_hypervisor=_first(r"^zpp: no hypervisor: (.+)$", serial),
        release=_first(r"^zpp-guest: Linux (\S+)$", serial),
        cpus=int(_first(r"^Linux sees (\d+) CPUs$", serial) or 0),
        seen=dict(reversed(asked)),
        offline=tuple(int(cpu) for (cpu,) in _all(r"^CPU (\d+) offline$", serial)),
        online=tuple(int(cpu) for (cpu,) in _all(r"^CPU (\d+) online$", serial)),
        seen_again=again if len(asked) > len(dict(asked)) else {},
        problems=tuple(text for (text,) in _all(r"^dmesg: (.+)$", serial)),
        failures=tuple(text for (text,) in _all(r"^zpp-guest: FAIL: (.+)$", serial)),
        done="zpp-guest: done" in serial,
    )


def starts(serial: str) -> list[View]:
    """A view of each start: a machine that reboots shows more than one."""
    parts = re.split(r"^zpp-guest: rebooting$", serial, flags=re.MULTILINE)
    return [read(part) for part in parts]


def _hypervisors(serial: str) -> list[tuple[int, str]]:
    lines = _all(r"^CPU (\d+): (?:no hypervisor|hypervisor (.+))$", serial)
    return [(int(cpu), name) for cpu, name in lines]


def _all(expression: str, text: str) -> list[tuple[str, ...]]:
    return [match.groups("") for match in re.finditer(expression, text, re.MULTILINE)]


def _first(expression: str, text: str) -> str:
    found = _all(expression, text)
    return found[0][0] if found else ""

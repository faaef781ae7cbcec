"""Parses the serial log of a boot of the small Linux guest (tests/guest/linux/init)."""

from __future__ import annotations

import re
from dataclasses import dataclass

SIGNATURE = "ZppZppZppZpp"


@dataclass(frozen=True)
class GuestLog:
    """One boot, from the firmware to the power-off or reboot."""

    virtualized: dict[int, str]  # CPU → "Intel VT-x" or "AMD-V", for each CPU that zpp runs on
    no_hypervisor: str  # why zpp did not start, or ""
    linux_release: str  # "" if Linux did not start
    cpu_count: int  # according to Linux
    hypervisors: dict[int, str]  # CPU → the hypervisor that a program sees there, "" for none
    offline: tuple[int, ...]  # CPUs that went offline
    online: tuple[int, ...]  # CPUs that came online again
    hypervisors_again: dict[int, str]  # as `hypervisors`, for the CPUs that came online again
    kernel_problems: tuple[str, ...]  # errors and warnings in the kernel's log
    failures: tuple[str, ...]  # of the guest's own checks
    done: bool  # whether the guest ran all its checks


def parse_log(serial: str) -> GuestLog:
    """Parses a serial log that contains one boot."""
    asked = _hypervisors(serial)
    again = {cpu: name for cpu, name in asked if f"CPU {cpu} online" in serial}
    return GuestLog(
        virtualized={
            int(cpu): vendor
            for cpu, vendor in _all(
                r"^zpp: CPU (\d+) \(APIC ID \d+\) virtualized with (.+)$", serial
            )
        },
        no_hypervisor=_first(r"^zpp: no hypervisor: (.+)$", serial),
        linux_release=_first(r"^zpp-guest: Linux (\S+)$", serial),
        cpu_count=int(_first(r"^Linux sees (\d+) CPUs$", serial) or 0),
        hypervisors=dict(reversed(asked)),
        offline=tuple(int(cpu) for (cpu,) in _all(r"^CPU (\d+) offline$", serial)),
        online=tuple(int(cpu) for (cpu,) in _all(r"^CPU (\d+) online$", serial)),
        hypervisors_again=again if len(asked) > len(dict(asked)) else {},
        kernel_problems=tuple(text for (text,) in _all(r"^dmesg: (.+)$", serial)),
        failures=tuple(text for (text,) in _all(r"^zpp-guest: FAIL: (.+)$", serial)),
        done="zpp-guest: done" in serial,
    )


def parse_boots(serial: str) -> list[GuestLog]:
    """Parses each boot of a machine that reboots."""
    parts = re.split(r"^zpp-guest: rebooting$", serial, flags=re.MULTILINE)
    return [parse_log(part) for part in parts]


def _hypervisors(serial: str) -> list[tuple[int, str]]:
    lines = _all(r"^CPU (\d+): (?:no hypervisor|hypervisor (.+))$", serial)
    return [(int(cpu), name) for cpu, name in lines]


def _all(expression: str, text: str) -> list[tuple[str, ...]]:
    return [match.groups("") for match in re.finditer(expression, text, re.MULTILINE)]


def _first(expression: str, text: str) -> str:
    found = _all(expression, text)
    return found[0][0] if found else ""

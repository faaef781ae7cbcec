"""The variables of environment.config: names, defaults, and which values are allowed.

Standard library only: make reads them before anything is installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from efi_image.formats.zpp_conf import BOOT_TRIES_MAX, MENU_TIMEOUT_MAX

ARCHITECTURES = ("x86_64",)
DRIVERS = ("linux", "windows", "uefi")

# without a leading 0, which some take for octal
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}|0[xX][0-9a-fA-F]{1,8}")

# takes a value; returns what is wrong with it, or ''
Check = Callable[[str], str]


class Configuration(Enum):
    """The two builds."""

    RELEASE = "release"
    DEBUG = "debug"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the configuration."""

    name: str
    default: str
    check: Check
    secret: bool = False


def _any(_value: str) -> str:
    return ""


def _one_of(*choices: str) -> Check:
    fault = f"must be {' or '.join(choices)}"
    return lambda value: "" if value in choices else fault


def _words(*choices: str, empty: bool) -> Check:
    def check(value: str) -> str:
        words = value.split()
        if not words and not empty:
            return f"must name at least one of {' '.join(choices)}"
        if not set(words) <= set(choices):
            return f"can contain {' '.join(choices)}"
        return "names one twice" if len(set(words)) != len(words) else ""

    return check


def _number(low: int, high: int) -> Check:
    def check(value: str) -> str:
        is_number = _NUMBER.fullmatch(value) is not None and low <= int(value, 0) <= high
        return "" if is_number else f"must be a number from {low} to {high}"

    return check


def _path(value: str) -> str:
    return "" if not value or value.startswith("/") else "must be an absolute path, or empty"


def _make_path(value: str) -> str:
    """A path that make builds with; make takes a blank for its end."""
    return "must be a path without blanks" if " " in value or "\t" in value else _path(value)


def _required_path(value: str) -> str:
    return _make_path(value) if value.startswith("/") else "must be an absolute path"


def _ssh_target(value: str) -> str:
    # a leading dash would be an option of ssh
    fine = not value or re.fullmatch(r"([^-@\s][^@\s]*@)?[^-@\s][^@\s]*", value)
    return "" if fine else "must be [user@]host, or empty"


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    is_host = re.fullmatch(r"\[[0-9a-fA-F:.]+\]|[\w.-]+", host)
    if not is_host or not (port.isascii() and port.isdecimal()):
        return "must be HOST:PORT"
    return "must have a port from 1 to 65535" if _number(1, 65535)(port) else ""


def _version(value: str) -> str:
    fine = not value or re.fullmatch(r"[0-9]+(\.[0-9]+)*", value)
    return "" if fine else "must be a version number"


VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable("SUPPORTED_ARCHITECTURES", "x86_64", _words(*ARCHITECTURES, empty=False)),
        Variable("SELECTED_ARCHITECTURE", "x86_64", _one_of(*ARCHITECTURES)),
        Variable("CONFIGURATION", "release", _one_of("debug", "release")),
        Variable("BUILD_DRIVERS", "linux windows uefi", _words(*DRIVERS, empty=False)),
        Variable("TOOLCHAIN", "/usr/lib/llvm-19/bin", _required_path),
        Variable("EDK2_ROOT", "", _make_path),
        Variable("LINUX_KERNEL", "", _make_path),
        Variable("VISUAL_STUDIO_ROOT", "", _any),
        Variable("WINDOWS_KITS_ROOT", "", _any),
        Variable("WINDOWS_KITS_VERSION", "", _version),
        Variable("SERIAL_PORT", "0x3f8", _number(0, 0xFFF8)),
        Variable("MENU_TIMEOUT", "0", _number(0, MENU_TIMEOUT_MAX)),
        Variable("BOOT_TRIES", "3", _number(0, BOOT_TRIES_MAX)),
        Variable("HYPERVISOR_WAIT_FOR_DEBUGGER", "0", _one_of("0", "1")),
        Variable("BOCHS_ROOT", "", _path),
        Variable("GDB_SERVER_ADDRESS", "localhost:1234", _address),
        Variable("SSH_TARGET", "", _ssh_target),
        Variable("SSH_PORT", "22", _number(1, 65535)),
        Variable("SSH_PASSWORD", "", _any, secret=True),
    )
}

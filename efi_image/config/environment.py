"""environment.config and environment.local, read and checked into one frozen Config.

The syntax is the part of make's that means the same to everybody (see the head of
environment.config). Precedence, strongest first: overrides given by the caller (make's
command line), the process environment, environment.local, environment.config, defaults.

make reads the values as `python3 -m efi_image.config.environment --make $(MAKEOVERRIDES)` prints
them. Standard library only, so that it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path  # an image is made without it: it takes 3 ms to import

from efi_image.errors import ConfigError

COMMITTED = "environment.config"
LOCAL = "environment.local"

ARCHITECTURES = ("x86_64",)
DRIVERS = ("linux", "windows", "uefi")


class Configuration(Enum):
    """Which of the two builds."""

    RELEASE = "release"
    DEBUG = "debug"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the configuration: its check returns what is wrong with a value, or ''."""

    name: str
    default: str
    check: Callable[[str], str]
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it comes from: `environment.config:12`, `environment`, `default` …"""

    name: str
    value: str
    origin: str


# ---- checks of single values

# not with a leading 0, which some take for octal
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}|0[xX][0-9a-fA-F]{1,8}")


def _any(_value: str) -> str:
    return ""


def _one_of(*choices: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        return "" if value in choices else f"must be {' or '.join(choices)}"

    return check


def _words(*choices: str, empty: bool) -> Callable[[str], str]:
    def check(value: str) -> str:
        words = value.split()
        if not words and not empty:
            return f"must name at least one of {' '.join(choices)}"
        unknown = [word for word in words if word not in choices]
        if unknown:
            return f"may hold {' '.join(choices)}"
        return "names one twice" if len(set(words)) != len(words) else ""

    return check


def _number(low: int, high: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        fault = f"must be a number from {low} to {high}"
        if not _NUMBER.fullmatch(value):
            return fault
        return "" if low <= int(value, 0) <= high else fault

    return check


def _path(value: str) -> str:
    return "" if not value or value.startswith("/") else "must be an absolute path, or empty"


def _make_path(value: str) -> str:
    """Of what make builds with, which takes a blank for the end of a path."""
    return "must be a path without blanks" if " " in value or "\t" in value else _path(value)


def _required_path(value: str) -> str:
    return _make_path(value) if value.startswith("/") else "must be an absolute path"


def _ssh_target(value: str) -> str:
    parts = value.split("@") if value else []
    # a leading dash would be an option of ssh
    fine = len(parts) <= 2 and all(
        part and part[0] != "-" and not any(c.isspace() for c in part) for part in parts
    )
    return "" if fine else "must be [user@]host, or empty"


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if host[:1] == "[":
        fine = re.fullmatch(r"\[[0-9a-fA-F:.]+\]", host) is not None
    else:
        fine = host != "" and all(c.isalnum() or c in "_.-" for c in host)
    right = colon and fine and port.isdecimal() and not _number(1, 65535)(port)
    return "" if right else "must be HOST:PORT"


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
        Variable("HYPERVISOR_WAIT_FOR_DEBUGGER", "0", _one_of("0", "1")),
        Variable("BOCHS_ROOT", "", _path),
        Variable("GDB_SERVER_ADDRESS", "localhost:1234", _address),
        Variable("SSH_TARGET", "", _ssh_target),
        Variable("SSH_PORT", "22", _number(1, 65535)),
        Variable("SSH_PASSWORD", "", _any, secret=True),
    )
}


def _to_path(name: str) -> Path:

    return Path(name)


@dataclass(frozen=True, slots=True)
class Config:
    """The merged configuration; a path that is None was left empty.

    `checkout` is the folder of environment.config, if there is one.
    """

    supported_architectures: tuple[str, ...]
    selected_architecture: str
    configuration: Configuration
    build_drivers: tuple[str, ...]
    visual_studio_root: str
    windows_kits_root: str
    windows_kits_version: str
    serial_port: int
    hypervisor_wait_for_debugger: bool
    gdb_server_address: str
    ssh_target: str
    ssh_port: int
    ssh_password: str
    checkout: str | None
    settings: tuple[Setting, ...]

    def __repr__(self) -> str:
        name = f"{self.configuration.value} {self.selected_architecture}"
        return f"<Config {name} of {self.checkout}>"

    @property
    def build_folder(self) -> str:
        """Where the build puts its results: out/<configuration>/<architecture>."""
        parts = ("out", self.configuration.value, self.selected_architecture)
        return os.path.join(self.checkout or "", *parts)

    @property
    def build_directory(self) -> Path:
        """The same as a path."""
        return _to_path(self.build_folder)

    @property
    def root(self) -> Path | None:
        """The checkout as a path."""
        return _to_path(self.checkout) if self.checkout is not None else None

    @property
    def toolchain(self) -> Path:
        """The folder of clang and its tools."""
        return _to_path(self.values()["TOOLCHAIN"])

    @property
    def bochs_root(self) -> Path | None:
        """Where the Bochs rig is, if that is set."""
        name = self.values()["BOCHS_ROOT"]
        return _to_path(name) if name else None

    def values(self) -> dict[str, str]:
        """Name → value as text, in the order of VARIABLES."""
        return {setting.name: setting.value for setting in self.settings}


# ---- reading


def _fault(place: str, message: str, hint: str = "") -> ConfigError:
    return ConfigError(message, where=place, hint=hint)


def _check_line(raw: str, place: str) -> None:
    """Refuse what make would read in another way than this parser."""
    if raw.endswith("\r"):
        raise _fault(place, "the line ends with CR", "save the file with LF line ends")
    if not raw.replace("\t", " ").isprintable():
        raise _fault(place, "control character in the line")
    if raw.endswith("\\"):
        raise _fault(place, "a line may not end with a backslash")


def _parse_line(raw: str, place: str) -> tuple[str, str] | None:
    _check_line(raw, place)
    line = raw.strip(" \t")
    if not line or line.startswith("#"):
        return None
    name, assigned, value = line.partition(":=")
    name = name.rstrip(" \t")
    if not (assigned and name.isascii() and name.isidentifier()) or raw.startswith("\t"):
        raise _fault(place, "expected a line `NAME := value`")
    return name, value.lstrip(" \t")


def _check_text(name: str, value: str, place: str) -> None:
    for char, why in (("$", "make would expand it"), ("#", "make would take it for a comment")):
        if char in value:
            raise _fault(place, f"{name} may not contain '{char}' ({why})")
    if not value.isprintable():
        raise _fault(place, f"{name} contains a control character")
    if value != value.strip() or value.endswith("\\"):
        raise _fault(place, f"{name} may not begin or end with a blank, or end with a backslash")


def _check_value(name: str, value: str, place: str) -> None:
    _check_text(name, value, place)
    variable = VARIABLES[name]
    fault = variable.check(value)
    if fault:
        raise _fault(place, f"{name} {fault}, not '{value}'")


def _lines(data: bytes, name: str) -> list[str]:
    try:
        return data.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise _fault(name, "is not UTF-8 text") from None


def _near(name: str, alike: float = 0.6) -> str:

    near = difflib.get_close_matches(name.upper(), VARIABLES, 1, alike)
    return f"did you mean {near[0]}?" if near else ""


def parse_file(path: str | os.PathLike[str]) -> dict[str, Setting]:
    """The settings of one file, checked; raises ConfigError with the place of a fault."""
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise _fault(name, f"cannot be read: {error.strerror}") from None
    return parse_bytes(data, name)


def parse_bytes(data: bytes, file: str) -> dict[str, Setting]:
    """The settings in the bytes of a file of that name; raises ConfigError."""
    settings: dict[str, Setting] = {}
    for number, raw in enumerate(_lines(data, file), 1):
        place = f"{file}:{number}"
        pair = _parse_line(raw, place)
        if pair is None:
            continue
        name, value = pair
        if name not in VARIABLES:
            raise _fault(place, f"unknown variable {name}", _near(name))
        if name in settings:
            raise _fault(place, f"{name} is set already in {settings[name].origin}")
        if raw != raw.rstrip(" \t"):
            raise _fault(place, "blanks at the end of the line", "make would take them as value")
        if VARIABLES[name].secret and value and file == COMMITTED:
            raise _fault(place, f"{name} may not have a value in this file", f"put it into {LOCAL}")
        _check_value(name, value, place)
        settings[name] = Setting(name, value, place)
    return settings


def find_root(start: Path | None = None) -> Path | None:
    """The folder of environment.config: the checkout this package is in, else above `start`."""
    found = _checkout(start or os.curdir)
    return _to_path(found) if found is not None else None


def _checkout(start: str | os.PathLike[str]) -> str | None:
    package = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    above = os.path.dirname(package)
    if _holds(above, COMMITTED):
        return above
    here = os.path.realpath(start)
    while not _holds(here, COMMITTED):
        above = os.path.dirname(here)
        if above == here:
            return None
        here = above
    return here


def _holds(folder: str, name: str) -> bool:
    return os.path.isfile(os.path.join(folder, name))


def _file_settings(root: str | None) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    if root is not None:
        settings |= parse_file(os.path.join(root, COMMITTED))
        local = os.path.join(root, LOCAL)
        if os.path.exists(local):
            settings |= parse_file(local)
    return settings


def _outer_settings(values: Mapping[str, str], origin: str) -> dict[str, Setting]:
    settings = {}
    for name in VARIABLES:
        if name in values:
            _check_value(name, values[name], origin)
            settings[name] = Setting(name, values[name], origin)
    return settings


def _check_overrides(names: Iterable[str]) -> None:
    """Refuse what looks like a slip of the pen; other variables on make's line are not ours."""
    for name in names:
        near = "" if name in VARIABLES else _near(name, 0.85)
        if near:
            raise _fault("command line", f"unknown variable {name}", near)


def _build(settings: Mapping[str, Setting], root: str | None) -> Config:
    value = {name: setting.value for name, setting in settings.items()}
    supported = tuple(value["SUPPORTED_ARCHITECTURES"].split())
    if value["SELECTED_ARCHITECTURE"] not in supported:
        raise _fault(
            settings["SELECTED_ARCHITECTURE"].origin,
            f"SELECTED_ARCHITECTURE must be one of SUPPORTED_ARCHITECTURES ({' '.join(supported)})",
        )
    return Config(
        supported_architectures=supported,
        selected_architecture=value["SELECTED_ARCHITECTURE"],
        configuration=Configuration(value["CONFIGURATION"]),
        build_drivers=tuple(value["BUILD_DRIVERS"].split()),
        visual_studio_root=value["VISUAL_STUDIO_ROOT"],
        windows_kits_root=value["WINDOWS_KITS_ROOT"],
        windows_kits_version=value["WINDOWS_KITS_VERSION"],
        serial_port=int(value["SERIAL_PORT"], 0),
        hypervisor_wait_for_debugger=value["HYPERVISOR_WAIT_FOR_DEBUGGER"] == "1",
        gdb_server_address=value["GDB_SERVER_ADDRESS"],
        ssh_target=value["SSH_TARGET"],
        ssh_port=int(value["SSH_PORT"], 0),
        ssh_password=value["SSH_PASSWORD"],
        checkout=root,
        settings=tuple(settings[name] for name in VARIABLES),
    )


def load(
    root: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Config:
    """The merged configuration of the checkout at `root` (default: found by find_root)."""
    checkout = os.fspath(root) if root else _checkout(os.curdir)
    _check_overrides(overrides or {})
    settings = {v.name: Setting(v.name, v.default, "default") for v in VARIABLES.values()}
    settings |= _file_settings(checkout)
    settings |= _outer_settings(os.environ if environ is None else environ, "environment")
    settings |= _outer_settings(overrides or {}, "command line")
    return _build(settings, checkout)


# ---- python3 -m efi_image.config.environment


def parse_overrides(words: Iterable[str]) -> dict[str, str]:
    """NAME=VALUE words of make's command line as a mapping."""
    pairs = (word.partition("=") for word in words)
    return {name.rstrip(":"): value.strip() for name, equals, value in pairs if equals}


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:

    parser = argparse.ArgumentParser(
        prog="python3 -m efi_image.config.environment",
        description="Check and print the configuration.",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--make", action="store_true", help="print make syntax (the default)")
    form.add_argument("--json", action="store_true", help="print a JSON object")
    form.add_argument("--get", metavar="NAME", choices=VARIABLES, help="print one value")
    form.add_argument("--check", action="store_true", help="print nothing")
    parser.add_argument(
        "overrides", nargs="*", metavar="NAME=VALUE", help="stronger than everything else"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the merged configuration; 2 and one line on standard error if it has a fault."""
    options = _arguments(arguments)
    try:
        values = load(overrides=parse_overrides(options.overrides)).values()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    if options.get:
        print(values[options.get])
    elif options.json:
        print(json.dumps(values, indent=2))
    elif not options.check:
        for name, value in values.items():
            print(f"{name} := {value}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from efi_image.config.variables import VARIABLES, Configuration
from efi_image.errors import ConfigError

COMMITTED = "environment.config"
LOCAL = "environment.local"
# of an installed package, which has no checkout around it
_DATA = Path(__file__).resolve().parents[1] / "data"


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it comes from: `environment.config:12`, `environment`, `default` …"""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Config:
    """The merged configuration; a path that was left empty is None.

    `root` is the checkout: the folder of environment.config, if there is one. `settings`
    has every variable as text, in the order of VARIABLES.
    """

    root: Path | None
    selected_architecture: str
    configuration: Configuration
    build_drivers: tuple[str, ...]
    toolchain: Path
    bochs_root: Path | None
    serial_port: int
    hypervisor_wait_for_debugger: bool
    gdb_server_address: str
    ssh_target: str
    ssh_port: int
    ssh_password: str = field(repr=False)
    settings: tuple[Setting, ...] = field(repr=False)

    @property
    def build_directory(self) -> Path:
        """The folder of the built programs: out/<configuration>/<architecture> of the checkout,
        else those in the installed package."""
        if self.root is None:
            return _DATA / "zpp"
        return self.root / "out" / self.configuration.value / self.selected_architecture

    @property
    def core_directory(self) -> Path:
        """The folder of the core's sources and of its commands for gdb."""
        return (self.root or _DATA) / "hypervisor"

    @property
    def scripts_directory(self) -> Path:
        """Where the scripts for debuggers are written."""
        return self.root / "out/environment" if self.root else user_cache() / "environment"

    def values(self) -> dict[str, str]:
        """Name → value as text."""
        return {setting.name: setting.value for setting in self.settings}


# ---- one file


def parse_file(path: Path) -> dict[str, Setting]:
    """The settings of one file, checked; raises ConfigError with the line of a fault."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _fault(path.name, f"cannot be read: {error.strerror}") from None
    return parse_bytes(data, path.name)


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
            raise _fault(place, f"{name} is already set in {settings[name].origin}")
        if raw != raw.rstrip(" \t"):
            raise _fault(place, "blanks at the end of the line", "make would take them as value")
        if VARIABLES[name].secret and value and file == COMMITTED:
            raise _fault(place, f"{name} cannot have a value in this file", f"set it in {LOCAL}")
        _check_value(name, value, place)
        settings[name] = Setting(name, value, place)
    return settings


def _lines(data: bytes, name: str) -> list[str]:
    try:
        return data.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise _fault(name, "is not UTF-8 text") from None


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


def _check_line(raw: str, place: str) -> None:
    """Refuse what make would read in another way than this parser."""
    if raw.endswith("\r"):
        raise _fault(place, "the line ends with CR", "save the file with LF line ends")
    if not raw.replace("\t", " ").isprintable():
        raise _fault(place, "control character in the line")
    if raw.endswith("\\"):
        raise _fault(place, "a line cannot end with a backslash")


def _check_value(name: str, value: str, place: str) -> None:
    for char, why in (("$", "make would expand it"), ("#", "make would take it for a comment")):
        if char in value:
            raise _fault(place, f"{name} cannot contain '{char}' ({why})")
    if not value.isprintable():
        raise _fault(place, f"{name} contains a control character")
    if value != value.strip() or value.endswith("\\"):
        raise _fault(place, f"{name} cannot begin or end with a blank, or end with a backslash")
    if fault := VARIABLES[name].check(value):
        raise _fault(place, f"{name} {fault}, not '{value}'")


def _near(name: str, cutoff: float = 0.6) -> str:
    near = difflib.get_close_matches(name.upper(), VARIABLES, 1, cutoff)
    return f"did you mean {near[0]}?" if near else ""


def _fault(place: str, message: str, hint: str = "") -> ConfigError:
    return ConfigError(message, where=place, hint=hint)


# ---- all of it


def user_cache() -> Path:
    """The user's cache folder for zpp."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "zpp"


def find_root(start: Path | None = None) -> Path | None:
    """The folder of environment.config: the checkout this package is in, else above `start`."""
    here = (start or Path()).resolve()
    candidates = (Path(__file__).resolve().parents[2], here, *here.parents)
    return next((folder for folder in candidates if (folder / COMMITTED).is_file()), None)


def load(
    root: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Config:
    """The merged configuration of the checkout at `root` (default: found by find_root).

    Raises ConfigError.
    """
    root = root or find_root()
    _check_overrides(overrides or {})
    settings = {v.name: Setting(v.name, v.default, "default") for v in VARIABLES.values()}
    if root is not None:
        settings |= parse_file(root / COMMITTED)
        if (root / LOCAL).exists():
            settings |= parse_file(root / LOCAL)
    settings |= _outer_settings(os.environ if environ is None else environ, "environment")
    settings |= _outer_settings(overrides or {}, "command line")
    return _config(settings, root)


def _outer_settings(values: Mapping[str, str], origin: str) -> dict[str, Setting]:
    settings = {}
    for name in VARIABLES:
        if name in values:
            _check_value(name, values[name], origin)
            settings[name] = Setting(name, values[name], origin)
    return settings


def _check_overrides(names: Iterable[str]) -> None:
    """Refuse what looks like a typing error; other variables on make's line are not ours."""
    for name in names:
        near = "" if name in VARIABLES else _near(name, 0.85)
        if near:
            raise _fault("command line", f"unknown variable {name}", near)


def _config(settings: Mapping[str, Setting], root: Path | None) -> Config:
    value = {name: setting.value for name, setting in settings.items()}
    supported = value["SUPPORTED_ARCHITECTURES"].split()
    if value["SELECTED_ARCHITECTURE"] not in supported:
        raise _fault(
            settings["SELECTED_ARCHITECTURE"].origin,
            f"SELECTED_ARCHITECTURE must be one of SUPPORTED_ARCHITECTURES ({' '.join(supported)})",
        )
    return Config(
        root=root,
        selected_architecture=value["SELECTED_ARCHITECTURE"],
        configuration=Configuration(value["CONFIGURATION"]),
        build_drivers=tuple(value["BUILD_DRIVERS"].split()),
        toolchain=Path(value["TOOLCHAIN"]),
        bochs_root=Path(value["BOCHS_ROOT"]) if value["BOCHS_ROOT"] else None,
        serial_port=int(value["SERIAL_PORT"], 0),
        hypervisor_wait_for_debugger=value["HYPERVISOR_WAIT_FOR_DEBUGGER"] == "1",
        gdb_server_address=value["GDB_SERVER_ADDRESS"],
        ssh_target=value["SSH_TARGET"],
        ssh_port=int(value["SSH_PORT"], 0),
        ssh_password=value["SSH_PASSWORD"],
        settings=tuple(settings[name] for name in VARIABLES),
    )


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

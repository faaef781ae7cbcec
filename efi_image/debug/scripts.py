"""Writes scripts for debuggers, and linux_load.sh, from templates (a checkout: out/environment).

`make` runs `python3 -m efi_image.debug.scripts`. Standard library only: it runs before anything
is installed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from string import Template
from xml.sax.saxutils import escape, quoteattr

from efi_image.config.environment import Config, load, parse_overrides
from efi_image.errors import BUILD_HINT, ConfigError, InputError, OutputError, ZppError

TEMPLATES = "debug/templates"  # in the core's folder
SYMBOLS = "hypervisor.debug.elf"
MODULE = "zpp.ko"

Quote = Callable[[str], str]


def windows_path(path: PurePosixPath, distribution: str) -> str:
    """A path of the Windows Subsystem for Linux in Windows's notation; others are unchanged."""
    drive = re.fullmatch(r"/mnt/([a-z])(/.*)?", str(path))
    if drive:
        return str(PureWindowsPath(f"{drive[1].upper()}:\\", *path.parts[3:]))
    if distribution:
        return str(PureWindowsPath(f"\\\\wsl.localhost\\{distribution}\\", *path.parts[1:]))
    return str(path)


def _plain(text: str) -> str:
    """As it is: gdb's `source` takes the rest of its line."""
    return text


def _vmx(text: str) -> str:
    if '"' in text or not text.isprintable():
        raise ConfigError("cannot be quoted in a .vmx file", where=text)
    return f'"{text}"'


@dataclass(frozen=True, slots=True)
class Script:
    """A generated file: how to quote values in its template, and values inside of elements."""

    name: str
    quote: Quote
    quote_inside: Quote = _plain
    windows: bool = False  # read by a debugger that runs on Windows
    executable: bool = False
    checkout_only: bool = True


SCRIPTS = (
    Script("gdbcommand", _plain, checkout_only=False),
    Script("gdbinit", _plain, checkout_only=False),
    Script("zpp_gdb.py", repr, checkout_only=False),
    Script("launch.json", json.dumps, json.dumps),
    Script("options.xml", quoteattr, escape, windows=True),
    Script("zpp.vmx", _vmx),
    Script("linux_load.sh", shlex.quote, executable=True),
)

EXECUTABLE = {script.name for script in SCRIPTS if script.executable}


def _values(config: Config, script: Script, distribution: str) -> dict[str, str]:
    def on_windows(path: Path) -> str:
        return windows_path(PurePosixPath(path), distribution)

    symbols, folder = config.build_directory / SYMBOLS, config.scripts_directory
    commands = folder / "zpp_gdb.py"
    plain = {
        "root": str(config.root or ""),
        "core": str(config.core_directory),
        "folder": str(folder),
        "symbols": str(symbols),
        "windows_symbols": on_windows(symbols),
        "windows_folder": on_windows(folder),
        "address": config.gdb_server_address,
        "port": config.gdb_server_address.rpartition(":")[2],
        "module": str(config.build_directory / MODULE),
        "ssh_target": config.ssh_target,
        "ssh_port": str(config.ssh_port),
    }
    written = {name: script.quote(value) for name, value in plain.items()}
    source = f"source {on_windows(commands) if script.windows else commands}"
    return written | {"source": script.quote_inside(source)}


def generate(config: Config, distribution: str = "") -> Mapping[str, str]:
    """Name → text of each file; raises InputError.

    `distribution` is WSL's name of this system, '' elsewhere.
    """
    files = {}
    for script in SCRIPTS:
        if config.root is None and script.checkout_only:
            continue
        template = config.core_directory / TEMPLATES / f"{script.name}.in"
        try:
            text = template.read_text(encoding="utf-8")
        except OSError as error:
            what = f"cannot be read: {error.strerror}"
            raise InputError(what, where=str(template), hint=BUILD_HINT) from None
        files[script.name] = Template(text).substitute(_values(config, script, distribution))
    return files


def write_scripts(config: Config) -> None:
    """Write the scripts of this configuration; raises ConfigError, InputError or OutputError."""
    files = generate(config, os.environ.get("WSL_DISTRO_NAME", ""))
    write(files, config.scripts_directory)


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write the files that have changed; raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = folder / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
            if name in EXECUTABLE:
                path.chmod(path.stat().st_mode | 0o111)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=str(folder)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; 0, or the exit code of an error, which is printed in one line."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        write_scripts(load(overrides=parse_overrides(words)))
    except ZppError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())

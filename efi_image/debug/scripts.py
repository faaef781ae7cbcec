"""out/environment/: files for debuggers and linux_load.sh, from templates and the configuration.

`make` runs it as `python3 -m efi_image.debug.scripts`. Standard library only.
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
from efi_image.errors import ConfigError, OutputError, ZppError

FOLDER = "out/environment"
TEMPLATES = "hypervisor/debug/templates"
SYMBOLS = "hypervisor.debug.elf"
MODULE = "zpp.ko"

Write = Callable[[str], str]


def windows_path(path: PurePosixPath, distribution: str) -> str:
    """A path of the Windows Subsystem for Linux as Windows calls it; others stay as they are."""
    drive = re.fullmatch(r"/mnt/([a-z])(/.*)?", str(path))
    if drive:
        return str(PureWindowsPath(f"{drive[1].upper()}:\\", *path.parts[3:]))
    if distribution:
        return str(PureWindowsPath(f"\\\\wsl.localhost\\{distribution}\\", *path.parts[1:]))
    return str(path)


def _plain(text: str) -> str:
    """For gdb's `source`, which takes the rest of its line."""
    return text


def _vmx(text: str) -> str:
    if '"' in text or not text.isprintable():
        raise ConfigError("cannot be written into a .vmx file", where=text)
    return f'"{text}"'


@dataclass(frozen=True)
class Form:
    """A generated file: how its template's values are written, and those inside of elements."""

    name: str
    write: Write
    inside: Write = _plain
    windows: bool = False  # read by a debugger that runs on Windows
    executable: bool = False


FORMS = (
    Form("gdbcommand", _plain),
    Form("gdbinit", _plain),
    Form("zpp_gdb.py", repr),
    Form("launch.json", json.dumps, json.dumps),
    Form("options.xml", quoteattr, escape, windows=True),
    Form("zpp.vmx", _vmx),
    Form("linux_load.sh", shlex.quote, executable=True),
)

EXECUTABLE = {form.name for form in FORMS if form.executable}


def _values(config: Config, root: Path, form: Form, distribution: str) -> dict[str, str]:
    def on_windows(path: Path) -> str:
        return windows_path(PurePosixPath(path), distribution)

    symbols, folder = config.build_directory / SYMBOLS, root / FOLDER
    script = folder / "zpp_gdb.py"
    plain = {
        "root": str(root),
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
    written = {name: form.write(value) for name, value in plain.items()}
    source = f"source {on_windows(script) if form.windows else script}"
    return written | {"source": form.inside(source)}


def generate(config: Config, distribution: str = "") -> Mapping[str, str]:
    """Name → text of each file; `distribution` is WSL's name of this system, '' elsewhere."""
    root = config.root
    if root is None:
        raise ConfigError("no checkout: the files for debuggers are made from its templates")
    files = {}
    for form in FORMS:
        template = (root / TEMPLATES / f"{form.name}.in").read_text(encoding="utf-8")
        values = _values(config, root, form, distribution)
        files[form.name] = Template(template).substitute(values)
    return files


def write(files: Mapping[str, str], folder: Path) -> None:
    """Writes what has changed."""
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
    """Make the files; the exit code of the error, and one line, if that fails."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        config = load(overrides=parse_overrides(words))
        files = generate(config, os.environ.get("WSL_DISTRO_NAME", ""))
        write(files, (config.root or Path()) / FOLDER)
    except ZppError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""zpp-image for a small guest: the Python that runs the tests, and the files that it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import client_files
import cpio

REPOSITORY = Path(__file__).resolve().parents[2]
LINKER = Path("/lib64/ld-linux-x86-64.so.2")
# Loads what the commands need, then lists the files: modules, libraries, and the interpreter.
PROBE = """
import sys
from efi_image.cli.main import main
from efi_image.client import boot_record
for words in (["status", sys.argv[1]], ["counters", sys.argv[1]], ["log", sys.argv[1]],
              ["log", "/nothing"], ["booted", "--help"]):
    main(words)
import fcntl, runpy, pkgutil
found = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
with open("/proc/self/maps") as maps:
    found |= {line.split()[-1] for line in maps if line.split()[-1].startswith("/")}
open(sys.argv[2], "w").write("\\n".join(filter(None, found)))
"""


def zpp_image(folder: Path) -> list[cpio.Entry]:
    """/bin/zpp-image and all that it needs, each file in its place on this machine."""
    python = Path(os.path.realpath(sys.executable))
    environment = {
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": f"{REPOSITORY}:{Path(click.__file__).parents[1]}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    listed = folder / "files"
    files = client_files.write(folder / "shown")
    command = [str(python), "-c", PROBE, str(files), str(listed)]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    paths = {Path(line) for line in listed.read_text().splitlines() if Path(line).is_file()}
    paths |= {python, LINKER, REPOSITORY / "efi_image/__main__.py"}
    libraries = {str(path.parent) for path in paths if ".so" in path.name}
    environment["LD_LIBRARY_PATH"] = ":".join(sorted(libraries))
    exports = "".join(f"export {name}={value}\n" for name, value in environment.items())
    script = f'#!/bin/sh\n{exports}exec {python} -m efi_image "$@"\n'
    folders = sorted({str(parent)[1:] for path in paths for parent in path.parents} - {""})
    return [
        *(cpio.directory(name) for name in folders if name not in ("bin", "tmp")),
        *(cpio.file(str(path)[1:], path.read_bytes()) for path in sorted(paths)),
        cpio.file("bin/zpp-image", script.encode()),
    ]

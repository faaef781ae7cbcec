"""Pinned packages in a temporary folder, and a key: shared by the findings."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

LIBRARIES = "usr/lib/x86_64-linux-gnu"


def run(*command: str | Path, folder: Path, check: bool = True) -> str:
    """The output of a program, which may be one of the folder's packages."""
    root = folder / "root"
    environment = {
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "PATH": f"{root / 'usr/bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(root / LIBRARIES),
    }
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=environment, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if check and done.returncode:
        sys.exit(f"{command[0]} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout


def debian(folder: Path, *packages: str) -> None:
    """Unpack Debian packages (NAME or NAME=VERSION) below `folder`/root."""
    run("apt-get", "-q", "download", *packages, folder=folder)
    for archive in sorted(folder.glob("*.deb")):
        run("dpkg-deb", "-x", archive, folder / "root", folder=folder)
        archive.unlink()


def python(folder: Path, *requirements: str) -> Path:
    """A Python with these packages (NAME==VERSION)."""
    venv.create(folder / "venv", with_pip=True)
    interpreter = folder / "venv/bin/python"
    run(interpreter, "-m", "pip", "install", "--quiet", *requirements, folder=folder)
    return interpreter


def key(folder: Path) -> None:
    """An RSA key `key.pem` with its certificate, `cert.pem` and `cert.der`."""
    run(
        *"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=finding".split(),
        *"-keyout key.pem -out cert.pem".split(), folder=folder,
    )  # fmt: skip
    run(*"openssl x509 -in cert.pem -outform DER -out cert.der".split(), folder=folder)


def expect(what: str, seen: str, wanted: str) -> None:
    """Print what was seen; end with an error if it is not what is wanted."""
    print(f"{what}: {seen}")
    if seen != wanted:
        sys.exit(f"changed: expected {wanted!r}")

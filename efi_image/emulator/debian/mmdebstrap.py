"""Unpacks Debian packages into a folder with mmdebstrap; nothing is installed or configured."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from efi_image.emulator.debian import apt
from efi_image.errors import MissingError, OutputError

_SPACE = 1400 * 1024 * 1024  # bytes; 650 MB unpacked, and the packages meanwhile
_NO_NETWORK = re.compile(
    r"(Temporary failure resolving|Could not resolve|Could not connect|Network is unreachable"
    r"|Connection (refused|timed out|failed)|Unable to connect)[^\n]*"
)


def unpack(
    packages: tuple[str, ...], suite: str, root: Path, scratch: Path, mirror: str = ""
) -> None:
    """Unpack packages and their dependencies to `root`; `scratch` is on the same file system.

    `mirror` is by default that of the machine's apt. Raises OutputError if the disk is full,
    else MissingError.
    """
    free = shutil.disk_usage(scratch).free
    if free < _SPACE:
        raise OutputError(
            f"{free >> 20} MiB are free, but {_SPACE >> 20} MiB are needed",
            where=str(scratch.parent),
            hint="choose another place with --bochs-root",
        )
    mirror = mirror or apt.debian_mirror()
    options = [f"--aptopt={line}" for line in apt.network_options()]
    command = [
        *("mmdebstrap", "--variant=extract", "--mode=chrootless", "--format=directory"),
        *(*options, f"--include={','.join(packages)}"),
        *(suite, str(root), f"deb {mirror} {suite} main"),
    ]
    _run(command, scratch)


def _run(command: list[str], scratch: Path) -> None:
    log = scratch / "mmdebstrap.log"
    environment = {**os.environ, "TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"}
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment, check=False,
            )  # fmt: skip
    except FileNotFoundError:
        raise MissingError("mmdebstrap is not installed", hint="`apt install mmdebstrap`") from None
    if done.returncode == 0:
        return
    text = log.read_text(encoding="utf-8", errors="replace")
    raise _error(text, scratch, done.returncode, command)


def _error(text: str, scratch: Path, status: int, command: list[str]) -> OutputError | MissingError:
    details = (" ".join(command), *text.splitlines()[-12:])
    if "No space left on device" in text:
        return OutputError(
            "the disk is full", where=str(scratch.parent),
            hint="choose another place with --bochs-root", details=details,
        )  # fmt: skip
    if found := _NO_NETWORK.search(text):
        return MissingError(
            f"Debian's mirror cannot be reached ({found[0].rstrip('.')})",
            hint="check the network and its proxy, or give another mirror with --mirror URI",
        )
    if "is expired (invalid since" in text:
        return MissingError(
            "the package lists of Debian's mirror have expired",
            hint="check the clock, or give another mirror with --mirror URI", details=details,
        )  # fmt: skip
    return MissingError(f"mmdebstrap failed with exit status {status}", details=details)

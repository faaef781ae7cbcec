"""gdb for a machine that is about to start: its server's address, and gdb on this terminal."""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from efi_image.config.variables import VARIABLES
from efi_image.errors import InputError, MissingError, UsageError

GDBINIT = Path("out/environment/gdbinit")
# the core is entered on the first CPU; then symbols, and on to the first line
FIRST_COMMANDS = ("zwait", "zstartl")


def check_address(address: str) -> str:
    """The address itself; UsageError unless it is HOST:PORT of this machine only."""
    if VARIABLES["GDB_SERVER_ADDRESS"].check(address):
        raise UsageError(f"a GDB server's address is HOST:PORT, not '{address}'")
    host = address.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return address
    if host != "localhost":
        raise UsageError(
            f"'{address}' could be reached from other machines, which could then do anything here",
            hint="localhost:1234, say",
        )
    return address


def command(root: Path | None, address: str) -> tuple[str, ...]:
    """gdb's command line; MissingError or InputError if it cannot be started."""
    if shutil.which("gdb") is None:
        raise MissingError("gdb is not installed", hint="install Debian's package gdb")
    gdbinit = (root or Path()) / GDBINIT
    if root is None or not gdbinit.is_file():
        raise InputError("is missing", where=str(gdbinit), hint="`make` makes it")
    commands = (f"target remote {address}", *FIRST_COMMANDS)
    words = [word for text in commands for word in ("-ex", text)]
    return ("gdb", "-q", "-x", str(gdbinit), *words)


@contextlib.contextmanager
def running(line: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """gdb on this terminal, whose Ctrl-C it gets. The block ends when the user has left gdb."""
    process: subprocess.Popen[bytes] | None = None

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        if process is None or process.poll() is not None:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, interrupted)
    try:
        with subprocess.Popen(line) as process:
            try:
                yield process
            except BaseException:
                process.terminate()
                raise
            process.wait()
    finally:
        signal.signal(signal.SIGINT, previous)

"""Starts gdb on this terminal, for a machine that is about to start."""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import signal
import subprocess
from collections.abc import Iterator
from types import FrameType

from efi_image.config.environment import Config
from efi_image.config.variables import VARIABLES
from efi_image.debug.scripts import SYMBOLS, write_scripts
from efi_image.errors import BUILD_HINT, InputError, MissingError, UsageError

# wait until the first CPU enters the core, load symbols, and run to the first line
FIRST_COMMANDS = ("zwait", "zstartl")
_HINT = "use --gdb=localhost:1234"


def check_address(address: str) -> str:
    """The address; raises UsageError unless it is HOST:PORT that only this machine can reach."""
    if fault := VARIABLES["GDB_SERVER_ADDRESS"].check(address):
        raise UsageError(f"{fault}, not '{address}'", where="--gdb", hint=_HINT)
    host = address.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return address
    if host != "localhost":
        raise UsageError(
            f"other machines could reach a GDB server at '{address}', and control this one",
            hint=_HINT,
        )
    return address


def command(config: Config, address: str) -> tuple[str, ...]:
    """As `connection`, and gdb continues to the first line of the core."""
    later = (word for text in FIRST_COMMANDS for word in ("-ex", text))
    return (*connection(config, address), *later)


def connection(config: Config, address: str) -> tuple[str, ...]:
    """The command line of gdb, whose scripts it writes; raises ZppError if it cannot be started."""
    if shutil.which("gdb") is None:
        raise MissingError("gdb is not installed", hint="`apt install gdb`")
    symbols = config.build_directory / SYMBOLS
    if not symbols.is_file():
        raise InputError("does not exist", where=str(symbols), hint=BUILD_HINT)
    write_scripts(config)
    script = config.scripts_directory / "gdbinit"
    return ("gdb", "-q", "-x", str(script), "-ex", f"target remote {address}")


@contextlib.contextmanager
def running(line: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """Run gdb on this terminal; it gets Ctrl-C. The block ends when the user leaves gdb."""
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

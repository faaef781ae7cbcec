"""Wine's service manager and driver host, for starting a kernel driver as Windows does."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Debian keeps the programs where no PATH leads; `wine` itself is not needed.
PROGRAMS = ("/usr/lib/wine/{}", "/usr/bin/{}")
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/wine/x86_64-windows",
    "/usr/lib/wine/x86_64-windows",
    "/usr/lib64/wine/x86_64-windows",
)
TIME_LIMIT = 120  # seconds; a start takes one


@dataclass(frozen=True)
class Start:
    """What one `sc start` came to."""

    status: int  # of DriverEntry
    error: int  # Windows', that sc shows
    messages: tuple[str, ...]  # of DbgPrint and DbgPrintEx


def found(candidates: Iterable[str]) -> Path:
    paths = [Path(name) for name in candidates]
    there = next((path for path in paths if path.exists()), None)
    assert there is not None, f"wine64 is not installed (no {paths[0]}): run 'make setup'"
    return there


class Wine:
    """A prefix with nothing in it but Wine's own libraries, by links: no wineboot, no registry."""

    def __init__(self, folder: Path) -> None:
        self.program = found(place.format("wine64") for place in PROGRAMS)
        self.server = found(place.format("wineserver") for place in PROGRAMS)
        self.folder = folder
        drivers = folder / "drive_c/windows/system32/drivers"
        drivers.mkdir(parents=True)
        (folder / "dosdevices").mkdir()
        (folder / "dosdevices/c:").symlink_to("../drive_c")
        (folder / ".update-timestamp").write_text("disable\n")  # of wine.inf: not to be run
        for library in found(LIBRARIES).iterdir():
            (drivers.parent / library.name).symlink_to(library)
            if library.suffix == ".sys":
                (drivers / library.name).symlink_to(library)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DISPLAY"},
            "WINEPREFIX": str(folder),
            "TMPDIR": str(folder),  # for the server's socket, whose folder stays
            "WINEDLLOVERRIDES": "explorer.exe=;mscoree,mshtml=",
            "WINEDEBUG": "fixme-all,+debugstr",
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *words]
        # not by pipes, which services that stay would keep open
        with (self.folder / "output").open("w+") as output:
            done = subprocess.run(
                command, cwd=self.folder / "drive_c", env=self.environment, check=False,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=TIME_LIMIT,
            )  # fmt: skip
            output.seek(0)
            text = output.read()
        return subprocess.CompletedProcess(command, done.returncode, text)

    def stop(self) -> None:
        """Ends every process of this prefix: the next one starts a new service manager."""
        subprocess.run(
            [str(self.server), "--kill"], env=self.environment, check=False, capture_output=True,
            timeout=TIME_LIMIT,
        )  # fmt: skip

    def command(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def create(self, service: str, driver: Path) -> None:
        """`sc create` of a kernel driver."""
        (self.folder / "drive_c" / driver.name).write_bytes(driver.read_bytes())
        self.command("sc", "create", service, "type=", "kernel", "binPath=", f"C:\\{driver.name}")
        self.stop()

    def set_number(self, service: str, name: str, value: int) -> None:
        self.command("reg", "add", key_of(service), "/v", name, "/t", "REG_DWORD", "/d",
                     str(value), "/f")  # fmt: skip

    def value(self, service: str, name: str) -> str:
        text = self.command("reg", "query", key_of(service), "/v", name)
        match = re.search(rf"^ +{name} +REG_\w+ +(.*)$", text, re.MULTILINE)
        assert match, text
        return match[1].strip()

    def start(self, service: str) -> Start:
        """`sc start` of a driver whose DriverEntry does not succeed."""
        self.stop()
        done = self.run("sc", "start", service)
        status = re.search(r"ZwLoadDriver failed .*: ([0-9a-f]{8})$", done.stdout, re.MULTILINE)
        error = re.search(r"failed to start service (\d+)", done.stdout)
        assert status, done.stdout
        assert error, done.stdout
        messages = re.findall(r"vDbgPrintExWithPrefix [0-9a-f:]+ (.*)$", done.stdout, re.MULTILINE)
        return Start(int(status[1], 16), int(error[1]), tuple(m.strip() for m in messages))


def key_of(service: str) -> str:
    return rf"HKLM\SYSTEM\CurrentControlSet\Services\{service}"

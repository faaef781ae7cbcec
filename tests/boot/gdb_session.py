"""gdb in batch mode on an emulated machine."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from dataclasses import replace

from lab import Lab

from efi_image.config.environment import load
from efi_image.emulator import BootResult, Debug, EmulatorKind, RunRequest

TIME_LIMIT = 240.0  # seconds for all commands; they take 10 on an idle machine
WAITS = "zpp: waiting for a debugger"
_MARK = "@@ "


def free_address() -> str:
    """HOST:PORT of a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


class Said(dict[str, list[str]]):
    """What each command printed, in the order of its calls."""

    def first(self, command: str) -> str:
        return self[command][0]


class Session:
    """A machine with a GDB server, from `start` to its power-off."""

    def __init__(self, lab: Lab, request: RunRequest, *, stopped: bool = False) -> None:
        root = load().root
        assert root is not None
        self.scripts = root / "out/environment"
        self._lab = lab
        lab.log.unlink(missing_ok=True)
        self.address = free_address()
        self._request = replace(request, debug=Debug(gdb=self.address, stopped=stopped))
        self._result: BootResult | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._boot)

    def _boot(self) -> None:
        try:
            self._result = self._lab.boot(self._request, EmulatorKind.QEMU)
        except BaseException as error:  # the test's own thread raises it
            self._error = error

    def gdb(self, *commands: str, when: str = "") -> Said:
        """Starts the machine, connects when the text `when` is on the serial port, and runs the
        commands."""
        self._thread.start()
        self._wait_for(when)
        lines = [f"source {self.scripts}/gdbinit", f"target remote {self.address}"]
        for command in commands:
            # an error ends a script, but not a Python block
            lines += [f"echo \\n{_MARK}{command}\\n", f"zcatch {command}"]
        script = self._lab.folder / "script.gdb"
        script.write_text("\n".join((_CATCH, *lines, "")))
        log = self._lab.log.with_suffix(".gdb")
        with log.open("wb") as output:
            subprocess.run(
                ["gdb", "-nx", "-q", "-batch", "-x", script], stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, timeout=TIME_LIMIT, check=False,
            )  # fmt: skip
        said = Said()
        for piece in log.read_text(errors="replace").split(f"\n{_MARK}")[1:]:
            command, _, printed = piece.partition("\n")
            said.setdefault(command, []).append(printed.strip())
        return said

    def _wait_for(self, text: str) -> None:
        end = time.monotonic() + TIME_LIMIT
        while text:
            if self._lab.log.exists() and text in self._lab.log.read_text(errors="replace"):
                return
            assert self._thread.is_alive(), self._error
            assert time.monotonic() < end, f"not seen: {text}"
            time.sleep(0.1)

    def finish(self) -> str:
        """The serial text, after the machine's power-off."""
        self._thread.join()
        if self._error:
            raise self._error
        assert self._result is not None
        return self._result.serial


_CATCH = '''
python
import gdb
class Catch(gdb.Command):
    """Runs a command; its error is output, and the script goes on."""
    def __init__(self):
        super().__init__("zcatch", gdb.COMMAND_USER)
    def invoke(self, argument, from_tty):
        try:
            gdb.execute(argument)
        except gdb.error as error:
            gdb.write(f"error: {error}\\n")
Catch()
end
'''

"""Runs gdb in batch mode on an emulated machine."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from dataclasses import replace

from harness import Harness

from efi_image.config.environment import load
from efi_image.emulator import BootResult, Debug, EmulatorKind, RunRequest

TIME_LIMIT = 240.0  # seconds for all commands, which take 10 on an idle machine
WAITING = "zpp: waiting for a debugger"
# The VMCB of the CPU that runs the core.
VMCB = "((zpp::svm::Vmcb*)(((unsigned long)$rsp & ~0xffffUL) + 0x2000))"
_MARK = "@@ "


def free_address() -> str:
    """HOST:PORT of a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


class Output(dict[str, list[str]]):
    """The output of each command, once for each time it was run."""

    def first(self, command: str) -> str:
        return self[command][0]


class Session:
    """An emulated machine with a GDB server, from its start to its power-off."""

    def __init__(self, harness: Harness, request: RunRequest, *, stopped: bool = False) -> None:
        root = load().root
        assert root is not None
        self.scripts = root / "out/environment"
        self._harness = harness
        harness.log.unlink(missing_ok=True)
        self.address = free_address()
        self._request = replace(request, debug=Debug(gdb=self.address, stopped=stopped))
        self._result: BootResult | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._boot)

    def _boot(self) -> None:
        try:
            self._result = self._harness.boot(self._request, EmulatorKind.QEMU)
        except BaseException as error:  # raised again in the test's thread
            self._error = error

    def gdb(self, *commands: str, when: str = "") -> Output:
        """Starts the machine, waits for the text `when` on the serial port, connects gdb and runs
        the commands."""
        self._thread.start()
        self._wait_for(when)
        lines = [f"source {self.scripts}/gdbinit", f"target remote {self.address}"]
        for command in commands:
            # an error would end the script, but not a Python block
            lines += [f"echo \\n{_MARK}{command}\\n", f"zcatch {command}"]
        script = self._harness.folder / "script.gdb"
        script.write_text("\n".join((_CATCH, *lines, "")))
        log = self._harness.log.with_suffix(".gdb")
        with log.open("wb") as output:
            subprocess.run(
                ["gdb", "-nx", "-q", "-batch", "-x", script], stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, timeout=TIME_LIMIT, check=False,
            )  # fmt: skip
        found = Output()
        for part in log.read_text(errors="replace").split(f"\n{_MARK}")[1:]:
            command, _, printed = part.partition("\n")
            found.setdefault(command, []).append(printed.strip())
        return found

    def _wait_for(self, text: str) -> None:
        end = time.monotonic() + TIME_LIMIT
        while text:
            if self._harness.log.exists() and text in self._harness.log.read_text(errors="replace"):
                return
            assert self._thread.is_alive(), self._error
            assert time.monotonic() < end, f"not on the serial port: {text}"
            time.sleep(0.1)

    def finish(self) -> str:
        """Waits for the power-off; returns the serial log."""
        self._thread.join()
        if self._error:
            raise self._error
        assert self._result is not None
        return self._result.serial


_CATCH = '''
python
import gdb
class Catch(gdb.Command):
    """Runs a command; prints its error and continues."""
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

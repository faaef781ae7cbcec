"""Runs `zpp-image write` many times, each ended by a signal at a certain call of the kernel.

    interrupted.py PLAN.json

The plan is a list of runs: `arguments` of zpp-image, the number of the `call` (of pwrite and fsync,
counted from 1; 0: none) at which the process gets the signal `number`, and whether a write is
`torn` then: half of it is done. Prints a list of results: the process's status, what it said, and
its calls.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from efi_image.cli import main as cli
from efi_image.cli import write
from efi_image.flash.options import WriteOptions


@dataclass(frozen=True)
class Run:
    """One run; see above."""

    arguments: list[str]
    call: int = 0
    number: int = 9
    torn: bool = False


@dataclass(frozen=True)
class Result:
    """What a run gave; a negative status is the signal that ended it."""

    status: int
    out: str
    err: str
    calls: int


class Calls:
    """Counts the calls of the kernel, and ends the process at one of them."""

    def __init__(self, run: Run, told: int) -> None:
        self._run, self._told = run, told
        self._count = 0
        self._lock = threading.Lock()  # calls come from several threads
        self._pwrite, self._fsync = os.pwrite, os.fsync

    def install(self) -> None:
        os.pwrite = self.pwrite
        os.fsync = self.fsync  # type: ignore[assignment]

    def _counted(self) -> bool:
        with self._lock:
            self._count += 1
            self._pwrite(self._told, self._count.to_bytes(4, "little"), 0)
            return self._count == self._run.call

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        if self._counted():
            if self._run.torn:
                self._pwrite(descriptor, data[: max(len(data) // 8192 * 4096, 512)], offset)
            os.kill(os.getpid(), self._run.number)
        return self._pwrite(descriptor, data, offset)

    def fsync(self, descriptor: int) -> None:
        if self._counted():
            os.kill(os.getpid(), self._run.number)
        self._fsync(descriptor)


def do(run: Run) -> Result:
    """Run in a process of its own."""
    files = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - closed below
    out, err, told = files
    child = os.fork()
    if child == 0:
        become(run, [file.fileno() for file in files])
    _, status = os.waitpid(child, 0)
    for file in files:
        file.seek(0)
    result = Result(
        os.waitstatus_to_exitcode(status),
        out.read().decode(),
        err.read().decode(),
        int.from_bytes(told.read(), "little"),
    )
    for file in files:
        file.close()
    return result


def become(run: Run, descriptors: list[int]) -> None:
    out, err, told = descriptors
    code = 99
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        Calls(run, told).install()
        # every piece is noted, not one in ten seconds
        often = functools.partial(WriteOptions, checkpoint=0)
        vars(write)["WriteOptions"] = often
        code = cli.main(run.arguments)
        sys.stdout.flush()
    finally:
        os._exit(code)


def main() -> None:
    runs = [Run(**row) for row in json.loads(Path(sys.argv[1]).read_text())]
    print(json.dumps([asdict(do(run)) for run in runs]))


if __name__ == "__main__":
    main()

"""A program on a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

import pytest

# for the program: makes the terminal the controlling one of its session
TAKE_TERMINAL = """
import os
if os.isatty(0):
    os.close(os.open(os.ttyname(0), os.O_RDWR))
"""


# a shell's background job ignores these, and so do the programs that it starts
_HEED_KEYS = ("env", "--default-signal=INT,QUIT")


class Session:
    """The program, and its output so far."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], columns: int = 80
    ) -> None:
        self.seen = b""
        self._ours, self._theirs = pty.openpty()
        termios.tcsetwinsize(self._theirs, (24, columns))
        self.before = self.mode
        self.process = subprocess.Popen(
            [*_HEED_KEYS, *command], stdin=self._theirs, stdout=self._theirs, stderr=self._theirs,
            env=environment, start_new_session=True,
        )  # fmt: skip

    def wait_for(self, text: bytes, seconds: float = 30) -> None:
        """Read until the text was printed behind all that was waited for before."""
        start = self._place
        end = time.monotonic() + seconds
        while text not in self.seen[start:]:
            if time.monotonic() > end or self.process.poll() is not None:
                pytest.fail(f"no {text!r} in {self.seen[start:]!r}")
            self.read()
        self._place = self.seen.index(text, start) + len(text)

    _place = 0

    def read(self) -> None:
        """Take what was printed meanwhile."""
        if select.select([self._ours], [], [], 0.1)[0]:
            self.seen += os.read(self._ours, 65536)

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def end(self, seconds: float = 30) -> int:
        """The exit code."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        code = self.process.poll()
        if code is None:
            pytest.fail(f"still runs after {seconds} seconds: {self.seen!r}")
        self.read()
        return code

    @property
    def mode(self) -> list[object]:
        """The terminal's attributes."""
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        """End the program."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

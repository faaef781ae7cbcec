"""Input for a guest's serial port: the keyboard, or what is piped to standard input."""

from __future__ import annotations

import os
from contextlib import suppress

ESCAPE = b"\x1d"  # Ctrl-]
KEYS_HINT = "keys go to the guest; Ctrl-] ends the run"
# attributes, the cursor, line wrapping and the scrolling region as they were before the guest
_RESTORE = b"\x1b[m\x1b[?25h\x1b[?7h\x1b7\x1b[r\x1b8"
_PIECE = 1024


class Keyboard:
    """The terminal, once it is open in raw mode: every key goes to the guest, but Ctrl-] ends the
    run. The terminal is as before after the `with` block.
    """

    def __init__(self, keys: int, screen: int) -> None:
        self.used = False  # whether something was typed
        self.is_open = False
        self._keys = keys
        self._screen = screen

    def __enter__(self) -> Keyboard:
        return self

    def open(self) -> None:
        """Take the terminal."""
        import termios  # noqa: PLC0415
        import tty  # noqa: PLC0415

        self._saved = termios.tcgetattr(self._keys)
        tty.setraw(self._keys, termios.TCSADRAIN)
        self.is_open = True

    def __exit__(self, *_error: object) -> None:
        if not self.is_open:
            return
        import termios  # noqa: PLC0415

        self.is_open = False
        with suppress(OSError, termios.error):  # the terminal may be gone
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._saved)
            os.write(self._screen, _RESTORE)

    def fileno(self) -> int:
        return self._keys if self.is_open else -1

    def read(self) -> bytes | None:
        typed = os.read(self._keys, _PIECE)
        self.used = self.used or bool(typed)
        return None if ESCAPE in typed else typed


class Pipe:
    """Standard input that is not a terminal; its bytes go to the guest as they are."""

    def __init__(self, source: int) -> None:
        self._source = source

    def fileno(self) -> int:
        return self._source

    def read(self) -> bytes | None:
        return os.read(self._source, _PIECE)


def is_attended(keys: int, screen: int) -> bool:
    """Whether both are terminals, and this process may use them (it is in the foreground)."""
    if not (os.isatty(keys) and os.isatty(screen) and hasattr(os, "tcgetpgrp")):
        return False  # Windows has no such terminals
    try:
        return os.tcgetpgrp(keys) == os.getpgrp()
    except OSError:
        return False

"""One line on a terminal that is redrawn and erased."""

from __future__ import annotations

import os
from typing import TextIO

WIDTH = 80  # columns of a terminal that does not report its width


class StatusLine:
    """The line with the cursor at its start. It shows nothing if there is no terminal."""

    def __init__(self, stream: TextIO | None) -> None:
        is_shown = stream and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._stream = stream if is_shown else None
        self._drawn = ""

    @property
    def is_shown(self) -> bool:
        """Whether it can be seen."""
        return self._stream is not None

    @property
    def columns(self) -> int:
        """How many characters fit: one less than the columns, so that the line never scrolls."""
        given = os.environ.get("COLUMNS", "")
        if given.isdecimal() and int(given):
            return int(given) - 1
        try:
            # not shutil's function: it asks standard output
            columns = os.get_terminal_size(self._stream.fileno()).columns if self._stream else 0
        except (OSError, ValueError):
            columns = 0
        return (columns or WIDTH) - 1

    def draw(self, text: str, *, dim: bool = False) -> None:
        """Show the text, cut to the terminal's width, in place of the last."""
        text = text[: self.columns]
        if self._stream and text != self._drawn:
            is_dim = dim and not os.environ.get("NO_COLOR")
            self._drawn = text  # first: Ctrl-C may come at any moment
            self._put(f"\r\x1b[K\x1b[2m{text}\x1b[m" if is_dim else f"\r\x1b[K{text}")

    def erase(self) -> None:
        """Erase it."""
        if self._drawn:
            self._put("\r\x1b[K")
            self._drawn = ""

    def _put(self, text: str) -> None:
        assert self._stream
        self._stream.write(text)
        self._stream.flush()

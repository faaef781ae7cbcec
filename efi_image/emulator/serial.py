"""Makes a guest's serial output readable: bytes in, lines without terminal escapes out."""

from __future__ import annotations

import codecs
import re

# CSI, OSC, and other two- and three-byte escapes
_ESCAPE = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]+[0-~]"
    r"|\x1b[0-Z\\-~]"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,256}\x1b?|[ -/]*)?\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class SerialText:
    """Decodes piece by piece; a character or an escape may be split between two pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""
        self._line_start = True

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The readable text of the next bytes; `final` includes the unfinished rest."""
        text = self._pending + self._decoder.decode(data, final=final)
        self._pending = ""
        unfinished = None if final else _UNFINISHED.search(text)
        if unfinished is None and not final and text.endswith("\r"):
            text, self._pending = text[:-1], "\r"
        elif unfinished is not None:
            text, self._pending = text[: unfinished.start()], unfinished[0]
        return self._clean(text)

    def _clean(self, text: str) -> str:
        text = _ESCAPE.sub(_line_break, text)
        text = re.sub(r"\r+\n|\r", "\n", text)
        text = _CONTROL.sub("", text)
        # cursor movements leave many empty lines: one is enough
        pieces: list[str] = []
        for line in text.splitlines(keepends=True):
            if line != "\n" or not self._line_start:
                pieces.append(line)
            self._line_start = line.endswith("\n")
        return "".join(pieces)


def _line_break(escape: re.Match[str]) -> str:
    """Cursor positions and clearing begin a new line; colours are dropped."""
    return "\n" if escape["final"] in ("H", "f", "J") else ""

"""Sizes, tables and trees as text; control characters in foreign names are escaped."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from efi_image.errors import printable

_INDENT = " " * 4
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def human(size: int) -> str:
    """A size in bytes as text with a unit, as in `1.5 MiB`."""
    amount, unit = float(size), _UNITS[0]
    for larger in _UNITS[1:]:
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def table(rows: Sequence[Sequence[str]], align: str, width: int | None = None) -> Iterator[str]:
    """Rows in columns, the first with their names; `align` has `<` or `>` for each column.

    If they do not fit into `width`, the last columns follow each row on lines of their own.
    """
    widths = widths_of(rows)
    kept = len(widths)
    while width and kept > 1 and _total(widths[:kept]) > width:
        kept -= 1
    header = rows[0]
    lines = aligned([row[:kept] for row in rows], widths[:kept], align[:kept])
    for row, line in zip(rows, lines, strict=True):
        yield line
        rest = [
            f"{name}: {printable(cell)}"
            for name, cell in zip(header[kept:], row[kept:], strict=True)
            if cell and row is not header
        ]
        if rest and width:
            yield from wrapped(_INDENT + ", ".join(rest), width)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def wrapped(line: str, width: int) -> list[str]:
    """The line in parts of at most so many columns; words that are longer stay whole.

    The further parts are indented by four columns more than the first. Colours take no room.
    """
    if len(_STYLE.sub("", line)) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(), width, initial_indent=indent, subsequent_indent=indent + _INDENT,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def widths_of(rows: Iterable[Sequence[str]]) -> list[int]:
    """The width of each column."""
    widths: list[int] = []
    for row in rows:
        lengths = [len(printable(cell)) for cell in row]
        widths = [max(pair) for pair in zip(widths or lengths, lengths, strict=True)]
    return widths


def aligned(rows: Iterable[Sequence[str]], widths: list[int], align: str) -> Iterator[str]:
    """Rows in columns of these widths, as `table`; the last column needs no width."""
    sides = [f"{side}{width}" for side, width in zip_longest(align, widths, fillvalue="")]
    for row in rows:
        cells = zip(row, sides, strict=True)
        yield "  ".join(f"{printable(cell):{side}}" for cell, side in cells).rstrip()


def tree(rows: Iterable[tuple[int, bool, str]]) -> Iterator[str]:
    """The lines of a tree; rows are (depth, whether it is its directory's last, text).

    The depth counts from 0. Each directory is followed by its content.
    """
    indents = [""]
    for depth, is_last, text in rows:
        yield f"{indents[depth]}{'└── ' if is_last else '├── '}{printable(text)}"
        indents[depth + 1 :] = [indents[depth] + ("    " if is_last else "│   ")]

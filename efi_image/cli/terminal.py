"""The width of the terminal at standard output, and lines that fit it."""

from __future__ import annotations

import shutil
import sys

import click

from efi_image.render.text import wrapped

LEAST = 20  # columns; a narrower terminal breaks lines itself


def columns() -> int | None:
    """The width in columns; None if standard output is not a terminal, where lines stay whole."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size().columns, LEAST)


def show(text: str) -> None:
    """Print lines; on a terminal, those that are too long continue with an indent."""
    width = columns()
    for line in text.split("\n"):
        for part in wrapped(line, width) if width else (line,):
            click.secho(part, fg=_colour(line))


def _colour(line: str) -> str | None:
    """Lines that begin with `!` report faults; a difference begins with its sign."""
    return {"!": "red", "+": "green", "-": "red", "~": "yellow"}.get(line.lstrip()[:1])

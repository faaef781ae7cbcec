"""Text for people, on standard output or standard error."""

from __future__ import annotations

import sys


def echo(text: str, *, err: bool = False) -> None:
    """Print a text as `click.echo` does, which is only asked where it does more than print."""
    stream = sys.stderr if err else sys.stdout
    if stream is None or "\x1b" in text or stream.encoding not in {"utf-8", "UTF-8"}:
        import click  # noqa: PLC0415 - takes longer than a small image

        click.echo(text, err=err)
        return
    stream.write(text + "\n")
    stream.flush()

"""`zpp-image cat`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import click

from efi_image.errors import InputError, OutputError, printable
from efi_image.formats.disk import locate, open_disk
from efi_image.formats.files import Kind, find, show_path, split_path

# control characters that text does not contain; ESC could reprogram the terminal
_BINARY = re.compile(rb"[\x00-\x06\x0e-\x1f\x7f]")
_HINT = "send it to a file or a pipe"


@click.command("cat")
@click.argument("image", type=click.Path(readable=False))
@click.argument("path", default="")
def command(image: str, path: str) -> None:
    """Write a file from an image to standard output.

    For IMAGE and PATH see `zpp-image ls --help`.

    \b
    Example:
      zpp-image cat esp.img /EFI/zpp/zpp.conf
    """
    place = locate(image, [path] if path else [])
    if not place.paths:
        raise click.UsageError("Missing argument 'PATH'.", click.get_current_context())
    with open_disk(place.image) as disk:
        volume = disk.volume(disk.pick(place.partition))
        real, node = find(volume, split_path(place.only_path))
        if node.kind is not Kind.FILE:
            raise InputError(f"is a {node.kind.value}, not a file", where=show_path(real))
        if sys.stdout is None:
            raise OutputError("is closed", where="standard output")
        output = sys.stdout.buffer
        for piece in _asked(volume.chunks(node), show_path(real)):
            output.write(piece)
        output.flush()


def _asked(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The same pieces; asks before bytes that would disturb a terminal."""
    first = next(pieces, b"")
    if sys.stdout.isatty() and _BINARY.search(first):
        if not sys.stdin or not sys.stdin.isatty():
            raise OutputError("is a terminal", where="standard output", hint=_HINT)
        if not click.confirm(f"{printable(name)} is not text. Show it on the terminal?", err=True):
            raise OutputError("was not written to the terminal", where=name, hint=_HINT)
    yield first
    yield from pieces

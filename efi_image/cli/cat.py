"""`zpp-image cat`."""

from __future__ import annotations

import sys

import click

from efi_image.errors import InputError
from efi_image.formats.disk import locate, open_disk
from efi_image.formats.files import Kind, find, show_path, split_path


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
        output = sys.stdout.buffer
        for piece in volume.chunks(node):
            output.write(piece)
        output.flush()

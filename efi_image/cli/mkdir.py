"""`zpp-image mkdir`."""

from __future__ import annotations

import click

from efi_image.cli.editing import changing, editing_options, located, report
from efi_image.edit.operations import make_folders
from efi_image.formats.files import split_path


@click.command("mkdir")
@click.argument(
    "words", nargs=-1, required=True, type=click.Path(readable=False), metavar="IMAGE PATH..."
)
@click.option(
    "-p",
    "--parents",
    is_flag=True,
    help="Make the directories above as well; ignore existing ones.",
)
@editing_options
def command(
    words: tuple[str, ...], parents: bool, yes_change: str | None, internal: bool, as_json: bool
) -> None:
    """Make directories on an image or a device.

    For IMAGE and PATH see `zpp-image ls --help`; only FAT volumes can be changed.

    \b
    Example:
      zpp-image mkdir -p esp.img /EFI/Linux
    """
    place = located(words)
    count = 0
    with changing(place, yes_change, internal) as editor:
        for path in place.paths:
            count += make_folders(editor, split_path(path), parents=parents)
    text = f"{count} {'directory' if count == 1 else 'directories'} created"
    report(place.image, text, {"image": place.image, "made": count}, as_json=as_json)

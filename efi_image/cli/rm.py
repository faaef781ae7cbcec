"""`zpp-image rm`."""

from __future__ import annotations

import click

from efi_image.cli.editing import changing, editing_options, located, report
from efi_image.edit.operations import remove
from efi_image.formats.files import split_path
from efi_image.verify.finding import plural


@click.command("rm")
@click.argument(
    "words", nargs=-1, required=True, type=click.Path(readable=False), metavar="IMAGE PATH..."
)
@click.option("-r", "--recursive", is_flag=True, help="Remove directories and all files in them.")
@click.option("-f", "--force", is_flag=True, help="Ignore paths that do not exist.")
@editing_options
def command(
    words: tuple[str, ...],
    recursive: bool,
    force: bool,
    yes_change: str | None,
    internal: bool,
    as_json: bool,
) -> None:
    """Remove files and directories from an image or a device.

    For IMAGE and PATH see `zpp-image ls --help`; only FAT volumes can be changed. Either all
    PATHS are removed or none.

    \b
    Examples:
      zpp-image rm esp.img /EFI/old.efi
      zpp-image rm -r disk.img:2 /EFI/old /loader
    """
    place = located(words)
    count = 0
    with changing(place, yes_change, internal) as editor:
        for path in place.paths:
            count += remove(editor, split_path(path), recursive=recursive, missing_ok=force)
    document = {"image": place.image, "removed": count}
    report(place.image, f"{plural(count, 'path')} removed", document, as_json=as_json)

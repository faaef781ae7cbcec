"""`zpp-image mv`."""

from __future__ import annotations

import click

from efi_image.cli.editing import changing, editing_options, located, report
from efi_image.edit.operations import Target, move
from efi_image.formats.files import split_path
from efi_image.verify.finding import plural


@click.command("mv")
@click.argument(
    "words",
    nargs=-1,
    required=True,
    type=click.Path(readable=False),
    metavar="IMAGE SOURCE... TARGET",
)
@click.option("-f", "--force", is_flag=True, help="Replace an existing file.")
@editing_options
def command(
    words: tuple[str, ...], force: bool, yes_change: str | None, internal: bool, as_json: bool
) -> None:
    """Rename or move files on an image or a device.

    SOURCE goes into TARGET if that is a directory; else TARGET is its new path. For IMAGE and
    paths see `zpp-image ls --help`; only FAT volumes can be changed.

    \b
    Examples:
      zpp-image mv esp.img /EFI/zpp/kernel.efi /EFI/zpp/kernel-old.efi
      zpp-image mv esp.img /a.efi /b.efi /EFI/Linux
    """
    place = located(words)
    *sources, target = place.paths
    if not sources:
        raise click.UsageError("Missing argument 'TARGET'.", click.get_current_context())
    with changing(place, yes_change, internal) as editor:
        paths = [split_path(source) for source in sources]
        move(editor, paths, Target.parse(target), force=force)
    document = {"image": place.image, "moved": len(sources)}
    report(place.image, f"{plural(len(sources), 'path')} moved", document, as_json=as_json)

"""`zpp-image extract`."""

from __future__ import annotations

from pathlib import Path

import click

from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.progress_bar import ProgressBar
from efi_image.errors import InputError, printable
from efi_image.formats.disk import locate, open_disk
from efi_image.formats.files import split_path
from efi_image.inspect.extract import extract
from efi_image.render.text import human


@click.command("extract")
@click.argument("image", type=click.Path(readable=False))
@click.argument("paths", nargs=-1)
@click.option(
    "--to",
    "target",
    metavar="DIR",
    default=".",
    type=PathType(path_type=Path),
    help="Directory for the files.  [default: the current directory]",
)
@click.option("-f", "--force", is_flag=True, help="Replace existing files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(image: str, paths: tuple[str, ...], target: Path, force: bool, as_json: bool) -> None:
    """Extract files and directories from an image.

    For IMAGE and PATHS see `zpp-image ls --help`; without PATHS, everything is extracted.
    Nothing is written outside of DIR: links on the image are skipped, links in DIR are not
    followed. A file appears only when it is complete.

    \b
    Example:
      zpp-image extract disk.iso /EFI --to files
    """
    place = locate(image, paths)
    wanted = [split_path(path) for path in place.paths]
    with open_disk(place.image) as disk, ProgressBar() as bar:
        volume = disk.volume(disk.pick(place.partition))
        done = extract(
            volume, wanted, target, replace=force, image=Path(place.image), progress=bar.progress
        )
    if as_json:
        show_json(done)
    else:
        click.echo(f"{target}: {done.files} files, {human(done.size)}")
        if done.links:
            click.echo(f"{len(done.links)} links were skipped", err=True)
    if volume.unread:
        click.echo(printable(f"{place.image}: {volume.unread}"), err=True)
    if done.skipped:
        for line in done.skipped:
            click.echo(printable(line), err=True)
        raise InputError(f"{len(done.skipped)} names were skipped", where=image)

"""`zpp-image cp`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from efi_image.cli.editing import changing, editing_options, report
from efi_image.cli.progress_bar import ProgressBar
from efi_image.edit.copy_out import copy_out
from efi_image.edit.operations import Copied, Target, copy
from efi_image.edit.sources import Group, on_host, on_volume
from efi_image.errors import UsageError
from efi_image.formats.disk import Location, locate, open_disk, split_location
from efi_image.formats.files import FileSystem, split_path
from efi_image.render.text import human
from efi_image.verify.finding import plural


@click.command("cp")
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(readable=False), metavar="SOURCE..."
)
@click.argument("target", type=click.Path(readable=False))
@click.option("-r", "--recursive", is_flag=True, help="Copy directories and all files in them.")
@click.option("-f", "--force", is_flag=True, help="Replace existing files.")
@editing_options
def command(
    sources: tuple[str, ...],
    target: str,
    recursive: bool,
    force: bool,
    yes_change: str | None,
    internal: bool,
    as_json: bool,
) -> None:
    """Copy files to an image or a device, from it, or within it.

    IMAGE:/PATH is a path on an image, IMAGE:2:/PATH on its partition 2; anything else is a path
    of this machine. For IMAGE see `zpp-image ls --help`; only FAT volumes can be changed. SOURCE
    goes into TARGET if that is a directory; else TARGET is the copy's path. If a copy fails, the
    image stays as it was.

    \b
    Examples:
      zpp-image cp vmlinuz esp.img:/EFI/zpp/kernel.efi --force
      zpp-image cp -r EFI loader /dev/sdb:/
      zpp-image cp disk.img:2:/loader/loader.conf .
    """
    place, path = split_location(target)
    on_images = [source for source in sources if split_location(source)[1] is not None]
    if path is None and not on_images:
        raise UsageError(
            "no path is on an image", where=target, hint="write IMAGE:/PATH for a path on an image"
        )
    if path is None and len(on_images) < len(sources):
        raise UsageError("SOURCE and TARGET are both on this machine", where=target)
    with ExitStack() as stack:
        if path is None:
            done = _out(stack, sources, Path(target), recursive=recursive, force=force)
        else:
            groups = [_group(stack, source, recursive) for source in sources]
            with changing(locate(place), yes_change, internal) as editor:
                done = copy(editor, groups, Target.parse(path), force=force)
    text = f"{plural(done.files, 'file')} copied, {human(done.size)}"
    report(place, text, {"target": target, **asdict(done)}, as_json=as_json)


def _volume(stack: ExitStack, place: Location) -> FileSystem:
    disk = stack.enter_context(open_disk(place.image))
    return disk.volume(disk.pick(place.partition))


def _group(stack: ExitStack, source: str, recursive: bool) -> Group:
    """The files to copy, from this machine or from an image."""
    if split_location(source)[1] is None:
        return on_host(source, recursive=recursive)
    place = locate(source)
    volume = _volume(stack, place)
    return on_volume(volume, split_path(place.paths[0]), recursive=recursive)


def _out(
    stack: ExitStack, sources: tuple[str, ...], target: Path, *, recursive: bool, force: bool
) -> Copied:
    bar = stack.enter_context(ProgressBar())
    if len(sources) > 1 and not target.is_dir():
        raise UsageError("is not a directory", where=str(target))
    total = Copied()
    for source in sources:
        place = locate(source)
        volume = _volume(stack, place)
        path = split_path(place.paths[0])
        done = copy_out(
            volume,
            path,
            target,
            image=Path(place.image),
            recursive=recursive,
            replace=force,
            progress=bar.progress,
        )
        total.files, total.size = total.files + done.files, total.size + done.size
    return total

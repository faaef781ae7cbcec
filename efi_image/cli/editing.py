"""What the commands that change an image have in common."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from efi_image.cli.confirm import confirm
from efi_image.cli.json_output import show_json
from efi_image.cli.progress_bar import ProgressBar
from efi_image.config.resolve import SOURCE_DATE
from efi_image.config.values import parse_seconds
from efi_image.edit.session import EditOptions, edit
from efi_image.errors import printable
from efi_image.formats.disk import Location, locate
from efi_image.formats.fat.editor import FatEditor

_Command = TypeVar("_Command", bound=Callable[..., None])


def editing_options(command: _Command) -> _Command:
    """The options about devices, and --json."""
    yes = click.option(
        "--yes-change",
        metavar="SERIAL",
        help="Change a device without asking, if it has this serial number (or this path, if it "
        "has no serial number).",
    )
    internal = click.option(
        "--internal", is_flag=True, help="Allow a built-in disk that nothing uses."
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
    return yes(internal(as_json(command)))


def located(words: tuple[str, ...]) -> Location:
    """IMAGE and paths on it; raises UsageError if there is no path."""
    found = locate(words[0], words[1:])
    if not found.paths:
        raise click.UsageError("Missing argument 'PATH...'.", click.get_current_context())
    return found


@contextmanager
def changing(place: Location, yes_change: str | None, internal: bool) -> Iterator[FatEditor]:
    """An editor for the volume; the image is changed if the block succeeds."""
    now = str(int(time.time()))
    with ProgressBar() as bar:
        options = EditOptions(
            seconds=parse_seconds(os.environ.get(SOURCE_DATE) or now, SOURCE_DATE),
            confirm=lambda device: confirm(
                device, "This changes files on it.", yes_change, "--yes-change"
            ),
            internal=internal,
            note=lambda text: click.echo(printable(f"{place.image}: {text}"), err=True),
            progress=bar.progress,
        )
        with edit(place.image, place.partition, options) as editor:
            yield editor


def report(place: str, text: str, document: Mapping[str, Any], *, as_json: bool) -> None:
    """What was done: a line, or a document for programs."""
    if as_json:
        show_json(document)
    else:
        click.echo(printable(f"{place}: {text}"))

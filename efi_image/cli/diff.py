"""`zpp-image diff`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from efi_image.cli.progress_bar import ProgressBar
from efi_image.errors import ExitCode, InputError
from efi_image.formats.detect import open_medium
from efi_image.formats.disk import read_disk
from efi_image.inspect.difference import Difference, Scope, compare_disks, compare_pe
from efi_image.inspect.image import is_pe
from efi_image.inspect.pe import facts_of_pieces
from efi_image.render.as_json import NOTHING, json_lines
from efi_image.render.inspect_report import difference_line


def _compare(old: str, new: str, ignored: Scope) -> Iterator[Difference]:
    with open_medium(old) as first, open_medium(new) as second:
        programs = [is_pe(medium) for medium in (first, second)]
        if all(programs):
            facts = [facts_of_pieces(m.chunks(0, m.size), m.name) for m in (first, second)]
            yield from compare_pe(new, *facts)
        elif any(programs):
            raise InputError("one is a PE file, the other is not", where=f"{old}, {new}")
        else:
            yield from compare_disks(read_disk(first), read_disk(second), ignored)


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option("--ignore-dates", is_flag=True, help="Dates of files do not count.")
@click.option("--ignore-ids", is_flag=True, help="GUIDs and serial numbers do not count.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(
    ctx: click.Context, old: str, new: str, ignore_dates: bool, ignore_ids: bool, as_json: bool
) -> None:
    """Compare two images or PE files by meaning.

    Partition tables, volumes and files are compared, not the places where files stand. The exit
    code is 0 if nothing differs, 1 if something does.

    \b
    Example:
      zpp-image diff yesterday.img today.img --ignore-ids
    """
    found = False
    with ProgressBar() as bar:
        differences = _compare(old, new, Scope(ignore_dates, ignore_ids, bar.progress))
        shown = json_lines(differences) if as_json else map(difference_line, differences)
        for line in shown:
            bar.clear()
            click.echo(line)
            found = found or line != NOTHING
    if found:
        ctx.exit(ExitCode.VERDICT)

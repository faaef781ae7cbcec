"""`zpp-image diff`."""

from __future__ import annotations

import click

from efi_image.commands.meter import Meter
from efi_image.errors import ExitCode, InputError
from efi_image.facts.difference import Difference, Scope, compare_disks, compare_pe
from efi_image.facts.image import is_pe
from efi_image.facts.pe import facts_of_pieces
from efi_image.facts.report import difference_lines, json_text
from efi_image.reader.disk import read_disk
from efi_image.reader.formats import open_medium


def _compare(old: str, new: str, ignored: Scope) -> list[Difference]:
    with open_medium(old) as first, open_medium(new) as second:
        programs = [is_pe(medium) for medium in (first, second)]
        if all(programs):
            facts = [facts_of_pieces(m.chunks(0, m.size), m.name) for m in (first, second)]
            return list(compare_pe(new, *facts))
        if any(programs):
            raise InputError("one is a PE file, the other is not", where=f"{old}, {new}")
        return list(compare_disks(read_disk(first), read_disk(second), ignored))


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
    with Meter() as meter:
        found = _compare(old, new, Scope(ignore_dates, ignore_ids, meter.progress))
    if as_json:
        click.echo("".join(json_text(found)))
    else:
        for line in difference_lines(found):
            click.echo(line)
    if found:
        ctx.exit(ExitCode.VERDICT)

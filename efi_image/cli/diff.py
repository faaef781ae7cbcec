"""`zpp-image diff`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from efi_image.cli.json_output import json_pieces
from efi_image.cli.progress_bar import ProgressBar
from efi_image.cli.terminal import show
from efi_image.errors import ExitCode, InputError
from efi_image.formats.detect import open_medium
from efi_image.formats.disk import read_disk
from efi_image.formats.pe.headers import is_pe
from efi_image.inspect.difference import CompareOptions, Difference, compare_disks, compare_pe
from efi_image.inspect.pe import pe_facts
from efi_image.render.inspect_report import difference_line


def _compare(old: str, new: str, options: CompareOptions) -> Iterator[Difference]:
    with open_medium(old) as first, open_medium(new) as second:
        programs = [is_pe(medium.peek) for medium in (first, second)]
        if all(programs):
            facts = [pe_facts(m.chunks(0, m.size), m.name) for m in (first, second)]
            yield from compare_pe(new, *facts)
        elif any(programs):
            raise InputError("only one of them is a PE file", where=f"{old}, {new}")
        else:
            yield from compare_disks(read_disk(first), read_disk(second), options)


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option("--ignore-dates", is_flag=True, help="Ignore the dates of files.")
@click.option("--ignore-ids", is_flag=True, help="Ignore GUIDs and serial numbers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(
    ctx: click.Context, old: str, new: str, ignore_dates: bool, ignore_ids: bool, as_json: bool
) -> None:
    """Compare the contents of two images or PE files.

    Compares partition tables, volumes and files, but not where files are stored. The exit
    code is 0 without differences, 1 with any.

    \b
    Example:
      zpp-image diff yesterday.img today.img --ignore-ids
    """
    count = 0

    def counted() -> Iterator[Difference]:
        nonlocal count
        for count, each in enumerate(differences, 1):  # noqa: B007
            yield each

    with ProgressBar() as bar:
        differences = _compare(old, new, CompareOptions(ignore_dates, ignore_ids, bar.progress))
        if as_json:
            for piece in json_pieces({"differences": counted()}):
                bar.clear()
                click.echo(piece, nl=False)
        for each in counted():
            bar.clear()
            show(difference_line(each))
    if count:
        ctx.exit(ExitCode.VERDICT)

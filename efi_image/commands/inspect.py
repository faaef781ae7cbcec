"""`zpp-image inspect`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from efi_image.atomic import atomic
from efi_image.errors import UsageError
from efi_image.facts.image import image_facts, is_pe
from efi_image.facts.pe import facts_of_pieces
from efi_image.facts.picture import as_svg, in_terminal
from efi_image.facts.report import image_lines, pe_lines, plain
from efi_image.reader.disk import read_disk
from efi_image.reader.formats import open_medium


def _save(path: Path, text: str) -> None:
    with atomic(path) as descriptor, open(descriptor, "w", encoding="utf-8", closefd=False) as file:
        file.write(text)


@click.command("inspect")
@click.argument("file")
@click.option("--tree", "as_tree", is_flag=True, help="Files as a tree.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option(
    "--svg",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw the layout into a file.",
)
def command(file: str, as_tree: bool, as_json: bool, svg: Path | None) -> None:
    """Show what an image or a PE file is made of.

    Of an image: partition table, volumes, files, and what the UEFI programs among them are. Of
    a PE file: machine, subsystem, sections, imports, SBAT, checksum, digests, signatures.
    Lines that begin with `!` tell of something wrong.

    \b
    Examples:
      zpp-image inspect esp.img --svg layout.svg
      zpp-image inspect BOOTX64.EFI
    """
    with open_medium(file) as medium:
        if is_pe(medium):
            if svg:
                raise UsageError("a PE file has no layout to draw", where="--svg")
            pe = facts_of_pieces(medium.chunks(0, medium.size), file)
            lines = [json.dumps(plain(pe), indent=2)] if as_json else list(pe_lines(file, pe))
        else:
            facts = image_facts(read_disk(medium))
            if svg:
                _save(svg, as_svg(facts))
            width = min(shutil.get_terminal_size().columns, 100)
            picture = in_terminal(facts, width)
            lines = [json.dumps(plain(facts), indent=2)] if as_json else [
                *image_lines(facts, as_tree=as_tree), "", *picture
            ]  # fmt: skip
    for line in lines:
        click.echo(line)

"""`zpp-image inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from efi_image.cli.json_output import json_pieces
from efi_image.cli.path_type import PathType
from efi_image.cli.progress_bar import ProgressBar
from efi_image.cli.terminal import columns, show
from efi_image.errors import InputError, UsageError
from efi_image.formats.detect import open_medium
from efi_image.formats.disk import Disk, locate, paths_of, read_disk
from efi_image.formats.files import Kind, find, show_path, split_path
from efi_image.formats.pe.headers import is_pe
from efi_image.inspect.image import image_facts
from efi_image.inspect.pe import PeFacts, pe_facts
from efi_image.io.atomic import atomic, refuse_input
from efi_image.progress import told
from efi_image.render.inspect_report import image_lines, pe_lines
from efi_image.render.layout_drawing import as_svg, in_terminal


def _show_json(facts: object, bar: ProgressBar) -> None:
    for piece in json_pieces(facts):
        bar.clear()
        click.echo(piece, nl=False)


def _save(path: Path, text: str) -> None:
    with atomic(path) as descriptor, open(descriptor, "w", encoding="utf-8", closefd=False) as file:
        file.write(text)


def _program(disk: Disk, partition: str, path: str, bar: ProgressBar) -> PeFacts:
    volume = disk.volume(disk.pick(partition))
    real, node = find(volume, split_path(path))
    if node.kind is not Kind.FILE:
        raise InputError(f"is a {node.kind.value}, not a file", where=show_path(real))
    pieces = told(volume.chunks(node), bar.progress, node.size)
    return pe_facts(pieces, show_path(real))


def _show_image(
    disk: Disk, as_tree: bool, as_json: bool, svg: Path | None, bar: ProgressBar
) -> None:
    facts = image_facts(disk, progress=bar.progress)
    if svg:
        _save(svg, as_svg(facts))
    if as_json:
        _show_json(facts, bar)
        return
    for line in image_lines(facts, as_tree=as_tree):
        bar.clear()
        show(line)
    bar.clear()
    click.echo()
    for line in in_terminal(facts, min(columns() or 100, 100)):
        show(line)


@click.command("inspect")
@click.argument("file", type=click.Path(readable=False))
@click.argument("path", default="")
@click.option("--tree", "as_tree", is_flag=True, help="Show the files as a tree.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option(
    "--svg",
    metavar="FILE",
    type=PathType(path_type=Path),
    help="Draw the layout into an SVG file.",
)
def command(file: str, path: str, as_tree: bool, as_json: bool, svg: Path | None) -> None:
    """Show the structure of an image or a PE file.

    For an image: partition table, volumes, files, and details of the UEFI programs. For a PE
    file (on its own, or at PATH on an image): machine, subsystem, sections, imports, SBAT,
    checksum, digests, signatures. Lines that begin with `!` report faults.

    \b
    Examples:
      zpp-image inspect esp.img --svg layout.svg
      zpp-image inspect BOOTX64.EFI
      zpp-image inspect esp.img /EFI/BOOT/BOOTX64.EFI
    """
    found = locate(file, [path] if path else [])
    place, partition, path = found.image, found.partition, found.only_path
    if partition and not path:
        raise UsageError("names a partition, but no PATH on it", where=file)
    if svg:
        refuse_input(svg, Path(place))
    with open_medium(place) as medium, ProgressBar() as bar, paths_of(place):
        if path:
            pe = _program(read_disk(medium), partition, path, bar)
        elif is_pe(medium.peek):
            pieces = told(medium.chunks(0, medium.size), bar.progress, medium.size)
            pe = pe_facts(pieces, file)
        else:
            _show_image(read_disk(medium), as_tree, as_json, svg, bar)
            return
    if svg:
        raise UsageError("a PE file has no layout to draw", where="--svg")
    if as_json:
        _show_json(pe, bar)
    else:
        show("\n".join(pe_lines(path or file, pe)))

"""`zpp-image ls`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import click

from efi_image.cli.json_output import json_pieces
from efi_image.errors import printable
from efi_image.formats.disk import locate, open_disk
from efi_image.formats.files import (
    FilePath,
    FileSystem,
    Kind,
    Node,
    descend,
    find,
    show_path,
    split_path,
    walk,
)
from efi_image.inspect.image import date_text
from efi_image.render.text import aligned, tree, widths_of

MARKS = {Kind.DIRECTORY: "\\", Kind.LINK: "@", Kind.FILE: ""}


def _listed(
    volume: FileSystem, path: FilePath, node: Node, recursive: bool
) -> Iterator[tuple[FilePath, Node]]:
    if node.kind is not Kind.DIRECTORY:
        yield path[-1:], node
    elif recursive:
        yield from walk(volume, node)
    else:
        yield from (((child.name,), child) for child in volume.children(node))


def _shown(path: FilePath, node: Node) -> str:
    name = "\\".join(path) + MARKS[node.kind]
    return f"{name} -> {node.target}" if node.target else name


def _cells(path: FilePath, node: Node) -> tuple[str, str, str]:
    size = "" if node.kind is Kind.DIRECTORY else str(node.size)
    return node.attributes or "-", size, date_text(node)


def _long(rows: Callable[[], Iterable[tuple[FilePath, Node]]]) -> Iterator[str]:
    """The rows in columns; they are read twice."""
    widths = widths_of(_cells(*row) for row in rows())
    return aligned(((*_cells(*row), _shown(*row)) for row in rows()), widths, "<>><")


def _tree(volume: FileSystem, path: FilePath, node: Node) -> Iterator[tuple[int, bool, str]]:
    if node.kind is not Kind.DIRECTORY:
        yield 0, True, path[-1]
        return
    for below, child, is_last in descend(volume, node):
        yield len(below) - 1, is_last, below[-1] + MARKS[child.kind]


def _row(path: FilePath, node: Node) -> dict[str, object]:
    return {
        "path": "\\".join(path),
        "kind": node.kind.value,
        "size": node.size,
        "modified": date_text(node),
        "attributes": node.attributes,
        "alias": node.alias,
        "target": node.target,
    }


@click.command("ls")
@click.argument("image", type=click.Path(readable=False))
@click.argument("path", default="")
@click.option("-r", "--recursive", is_flag=True, help="List everything below PATH.")
@click.option("--tree", "as_tree", is_flag=True, help="List everything below PATH as a tree.")
@click.option("--names", is_flag=True, help="List names only, one per line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    image: str, path: str, recursive: bool, as_tree: bool, names: bool, as_json: bool
) -> None:
    """List the files on an image.

    IMAGE is an image or a device with a GPT, an MBR, FAT or ISO 9660. IMAGE:2, IMAGE:esp or
    IMAGE:iso selects the volume; the default is the EFI system partition, or else the first
    readable volume. Separate the names in PATH with `\\` or `/`; FAT ignores case.

    \b
    Examples:
      zpp-image ls esp.img
      zpp-image ls disk.img:2 /EFI --recursive
    """
    place = locate(image, [path] if path else [])
    name = place.image
    with open_disk(name) as disk:
        volume = disk.volume(disk.pick(place.partition))
        real, node = find(volume, split_path(place.only_path))
        rows = partial(_listed, volume, real, node, recursive)
        if as_json:
            for piece in json_pieces({"files": (_row(*row) for row in rows())}):
                click.echo(piece, nl=False)
            return
        if as_tree:
            click.echo(printable(show_path(real)))
            lines = tree(_tree(volume, real, node))
        elif names:
            lines = (printable("\\".join(path)) for path, _ in rows())
        else:
            lines = _long(rows)
        for line in lines:
            click.echo(line)
        if volume.unread:
            click.echo(printable(f"{name}: {volume.unread}"), err=True)

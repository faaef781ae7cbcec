"""`zpp-image ls`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import click

from efi_image.errors import printable
from efi_image.facts.image import when
from efi_image.facts.text import table, tree
from efi_image.reader.disk import open_disk, parse_place
from efi_image.reader.files import FileSystem, Kind, Node, Path, find, show, split, walk

MARKS = {Kind.DIRECTORY: "\\", Kind.LINK: "@", Kind.FILE: ""}


def _listed(
    volume: FileSystem, path: Path, node: Node, recursive: bool
) -> Iterator[tuple[Path, Node]]:
    if node.kind is not Kind.DIRECTORY:
        yield path[-1:], node
    elif recursive:
        yield from walk(volume, node)
    else:
        yield from (((child.name,), child) for child in volume.children(node))


def _shown(path: Path, node: Node) -> str:
    name = "\\".join(path) + MARKS[node.kind]
    return f"{name} -> {node.target}" if node.target else name


def _long(rows: Iterable[tuple[Path, Node]]) -> Iterator[str]:
    cells = [
        (node.attributes or "-", "" if node.kind is Kind.DIRECTORY else str(node.size), when(node),
         _shown(path, node))
        for path, node in rows
    ]  # fmt: skip
    return table(cells, "<>><")


def _row(path: Path, node: Node) -> dict[str, object]:
    return {
        "path": "\\".join(path),
        "kind": node.kind.value,
        "size": node.size,
        "modified": when(node),
        "attributes": node.attributes,
        "alias": node.alias,
        "target": node.target,
    }


@click.command("ls")
@click.argument("image")
@click.argument("path", default="")
@click.option("-r", "--recursive", is_flag=True, help="Everything below, too.")
@click.option("--tree", "as_tree", is_flag=True, help="Everything below, as a tree.")
@click.option("--names", is_flag=True, help="Names alone, one a line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    image: str, path: str, recursive: bool, as_tree: bool, names: bool, as_json: bool
) -> None:
    """List files of an image.

    IMAGE is an image or device of any maker: GPT, MBR, FAT or ISO 9660. IMAGE:2, IMAGE:esp or
    IMAGE:iso names the volume; otherwise it is the EFI system partition, or the first that
    can be read. PATH has `\\` or `/` between its names; FAT ignores their case.

    \b
    Examples:
      zpp-image ls esp.img
      zpp-image ls disk.img:2 /EFI --recursive
    """
    name, partition = parse_place(image)
    with open_disk(name) as disk:
        volume = disk.volume(disk.pick(partition))
        real, node = find(volume, split(path))
        rows = _listed(volume, real, node, recursive or as_tree)
        if as_json:
            click.echo(json.dumps([_row(*row) for row in rows], indent=2))
        elif as_tree:
            click.echo(printable(show(real)))
            for line in tree((path, path[-1] + MARKS[node.kind]) for path, node in rows):
                click.echo(line)
        elif names:
            for row in rows:
                click.echo(printable("\\".join(row[0])))
        else:
            for line in _long(rows):
                click.echo(line)

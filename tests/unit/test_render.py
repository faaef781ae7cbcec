"""The layout drawing, tables and trees, and JSON."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

import pytest

from efi_image.cli.main import main
from efi_image.formats.disk import open_disk
from efi_image.inspect.image import image_facts
from efi_image.render.as_json import VERSION, json_text, versioned
from efi_image.render.layout_drawing import Region, Use, as_svg, in_terminal, regions
from efi_image.render.text import human, table, tree

Capture = pytest.CaptureFixture[str]


def test_regions_cover_all_of_the_image(divided: Path) -> None:
    with open_disk(divided) as disk:
        parts = regions(image_facts(disk))
    position = 0
    for part in parts:
        assert part.start == position
        position += part.size
    assert position == divided.stat().st_size
    uses = [part.use for part in parts]
    assert uses == [
        Use.TABLE, Use.FREE, Use.VOLUME, Use.OTHER, Use.FREE, Use.OTHER, Use.FREE, Use.TABLE,
    ]  # fmt: skip


@pytest.mark.parametrize("width", [10, 40, 80, 200])
def test_drawing_in_the_terminal(divided: Path, width: int) -> None:
    with open_disk(divided) as disk:
        lines = list(in_terminal(image_facts(disk), width))
    assert len(lines[0]) == max(width, 17)
    assert len(lines) == 9
    assert "EFI system partition: FAT12 'A&B'" in lines[3]


def test_svg(tmp_path: Path, divided: Path, capsys: Capture) -> None:
    target = tmp_path / "x.svg"
    assert main(["inspect", str(divided), "--svg", str(target)]) == 0
    capsys.readouterr()
    root = ET.parse(target).getroot()
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("FAT12 'A&B'" in text for text in texts)
    for element in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert int(element.get("width", "-1")) > 0
    with open_disk(divided) as disk:
        assert as_svg(image_facts(disk)) == target.read_text()


def test_overlapping_partitions_have_a_drawing_too() -> None:
    assert Region(0, 1, Use.FREE, "x").used is None


# ---- lines


def test_human() -> None:
    assert [human(n) for n in (0, 1023, 1024, 1 << 20, 3 << 40, 5 << 50)] == [
        "0 bytes", "1023 bytes", "1.0 KiB", "1.0 MiB", "3.0 TiB", "5120.0 TiB",
    ]  # fmt: skip


def test_table_and_tree_are_harmless() -> None:
    assert list(table([("a\x1b", "1"), ("b", "22")], "<>")) == ["a\\x1b   1", "b      22"]
    rows = [(0, False, "a"), (1, True, "b\n"), (0, True, "c"), (1, True, "d")]
    assert list(tree(rows)) == ["├── a", "│   └── b\\n", "└── c", "    └── d"]
    deep = [(depth, True, "x") for depth in range(300)]
    assert len(list(tree(deep))) == 300


# ---- JSON


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Thing:
    kind: ClassVar[str] = "a class variable, not a field"
    name: str
    colour: Colour
    parts: tuple[int, ...] = ()


def numbers() -> Iterator[int]:
    yield from (1, 2)


def test_json_is_that_of_the_standard_library() -> None:
    thing = Thing('ünï "x"', Colour.RED, (1,))
    value: dict[str, object] = {"a": [thing, None, True, 1.5, {}], "b": (), "c": {"d": thing}}
    row = {"name": thing.name, "colour": "red", "parts": [1]}
    expected = {"a": [row, None, True, 1.5, {}], "b": [], "c": {"d": row}}
    assert "".join(json_text(value)) == json.dumps(expected, indent=2)
    assert json.loads("".join(json_text({"n": numbers()}))) == {"n": [1, 2]}


@pytest.mark.parametrize("value", [Thing("a", Colour.RED), {"name": "a"}])
def test_documents_begin_with_their_version(value: object) -> None:
    document = json.loads("".join(json_text(versioned(value))))
    assert list(document)[:2] == ["version", "name"]
    assert document["version"] == VERSION


def test_records_match_by_position() -> None:
    match Region(0, 512, Use.TABLE, "MBR"):
        case Region(0, size, Use.TABLE, title):
            assert (size, title) == (512, "MBR")
        case _:
            pytest.fail("a region does not match by position")

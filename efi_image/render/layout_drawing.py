"""A drawing of an image's layout, in the terminal and as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from xml.sax.saxutils import escape

from efi_image.errors import printable
from efi_image.formats.disk import Scheme
from efi_image.inspect.image import ImageFacts, PartitionFacts
from efi_image.render.text import human


class Use(Enum):
    """The use of a part of an image; the value is its colour."""

    TABLE = "#8d99ae"
    VOLUME = "#5b8def"
    OTHER = "#b08bd9"
    FREE = "#e9ecef"
    BAD = "#e4572e"


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image, in bytes; `used` is the share in use (0 to 1), None if unknown."""

    start: int
    size: int
    use: Use
    title: str
    details: str = ""
    used: float | None = None


def regions(facts: ImageFacts) -> list[Region]:
    """The parts of an image in order, with gaps and the partition table."""
    end = facts.size
    found = []
    if facts.scheme is Scheme.GPT:
        table = facts.sector_size * 2 + 0x4000
        found.append(Region(0, table, Use.TABLE, "GPT", "protective MBR, header, entries"))
        end -= table - facts.sector_size
        found.append(Region(end, facts.size - end, Use.TABLE, "GPT", "backup: entries, header"))
    elif facts.scheme is Scheme.MBR:
        found.append(Region(0, facts.sector_size, Use.TABLE, "MBR", "partition table"))
    divided = [p for p in facts.partitions if facts.scheme is Scheme.WHOLE or p.name != "iso"]
    found.extend(_region(partition, facts.size) for partition in divided)
    return list(_with_gaps(sorted(found, key=lambda r: (r.start, -r.size)), facts.size))


def _region(partition: PartitionFacts, size: int) -> Region:
    volume = partition.volume
    title = " ".join(filter(None, (partition.name, partition.type)))
    if partition.fault:
        return Region(partition.start, partition.size, Use.BAD, title, partition.fault)
    if volume is None:
        return Region(partition.start, partition.size, Use.OTHER, title, partition.content)
    details = f"{volume.format} '{volume.label}'" if volume.label else volume.format
    whole = volume.clusters * volume.cluster_size
    used = 1 - volume.free / whole if whole and volume.free >= 0 else None
    return Region(partition.start, min(partition.size, size), Use.VOLUME, title, details, used)


def _with_gaps(ordered: list[Region], size: int) -> Iterator[Region]:
    position = 0
    for region in ordered:
        if region.start > position:
            yield Region(position, region.start - position, Use.FREE, "free")
        yield region
        position = max(position, region.start + region.size)
    if position < size:
        yield Region(position, size - position, Use.FREE, "free")


def _widths(parts: list[Region], room: int, minimum: int) -> list[int]:
    """Shares of `room` by size, at least `minimum` each, at the cost of the largest."""
    total = sum(part.size for part in parts) or 1
    widths = [max(minimum, part.size * room // total) for part in parts]
    while sum(widths) > room and max(widths) > minimum:
        index = widths.index(max(widths))
        widths[index] = max(minimum, widths[index] - (sum(widths) - room))
    widths[widths.index(max(widths))] += max(0, room - sum(widths))
    return widths


def in_terminal(facts: ImageFacts, width: int = 80) -> Iterator[str]:
    """A bar of `width` columns with a legend."""
    parts = regions(facts)
    if not parts:
        return
    widths = _widths(parts, max(width - 1 - len(parts), len(parts)), 1)
    marks = {Use.TABLE: "▒", Use.FREE: " ", Use.OTHER: "▓", Use.BAD: "!"}
    cells = []
    for part, columns in zip(parts, widths, strict=True):
        if part.use is Use.VOLUME:
            taken = (
                columns if part.used is None else min(columns, max(1, round(part.used * columns)))
            )
            cells.append("█" * taken + "░" * (columns - taken))
        else:
            cells.append(marks[part.use] * columns)
    yield "│" + "│".join(cells) + "│"
    for part, cell in zip(parts, cells, strict=True):
        place = f"{part.start:>14}  {human(part.size):>10}"
        yield printable(f"  {cell[:1]} {place}  {part.title}{_details(part)}")


def _details(part: Region) -> str:
    share = "" if part.used is None else f", {part.used:.0%} used"
    return f": {part.details}{share}" if part.details else ""


_ROW, _WIDTH, _MARGIN = 22, 960, 20


def as_svg(facts: ImageFacts) -> str:
    """An SVG document: a bar, and a legend with offsets and sizes."""
    parts = regions(facts)
    height = 120 + _ROW * len(parts)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH + 2 * _MARGIN}" '
        f'height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH + 2 * _MARGIN}" height="{height}" fill="white"/>',
        f'<text x="{_MARGIN}" y="28" font-size="16">{_xml(_title(facts))}</text>',
    ]
    x = _MARGIN
    for part, width in zip(parts, _widths(parts, _WIDTH, 4) if parts else [], strict=True):
        lines.extend(_bar(part, x, width))
        x += width
    for number, part in enumerate(parts):
        lines.extend(_legend(part, 115 + _ROW * number))
    return "\n".join([*lines, "</svg>", ""])


def _title(facts: ImageFacts) -> str:
    scheme = facts.scheme.value
    return f"{facts.name}: {human(facts.size)}, {scheme}, sectors of {facts.sector_size} bytes"


def _bar(part: Region, x: int, width: int) -> Iterator[str]:
    title = f"<title>{_xml(part.title)}</title>"
    box = 'y="45" height="40" stroke="white"'
    yield f'<rect x="{x}" width="{width}" {box} fill="{part.use.value}">{title}</rect>'
    free = 0 if part.used is None else round((1 - part.used) * width)
    if free:
        yield f'<rect x="{x + width - free}" width="{free}" {box} fill="white" opacity="0.6"/>'


def _legend(part: Region, y: int) -> Iterator[str]:
    yield f'<rect x="{_MARGIN}" y="{y - 11}" width="14" height="14" fill="{part.use.value}"/>'
    yield f'<text x="{_MARGIN + 170}" y="{y}" text-anchor="end">{part.start}</text>'
    yield f'<text x="{_MARGIN + 270}" y="{y}" text-anchor="end">{human(part.size)}</text>'
    yield f'<text x="{_MARGIN + 290}" y="{y}">{_xml(part.title + _details(part))}</text>'


def _xml(text: str) -> str:
    return escape(printable(text), {'"': "&quot;"})

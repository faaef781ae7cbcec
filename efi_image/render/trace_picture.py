"""The picture of a trace: a lane for each CPU, time from left to right, colours by reason.

SVG, and HTML with the numbers. Neither loads anything, and both stay small: exits are counted in
columns of time, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from efi_image.inspect.trace_summary import Course, Summary
from efi_image.render.trace_table import heading

COLUMNS = 400
COLOURS = ("#3366cc", "#dc3912", "#ff9900", "#109618", "#990099", "#0099c6", "#b82e2e",
           "#66aa00", "#8b5a2b", "#888888")  # fmt: skip

_LEFT, _RIGHT, _TOP, _LEGEND_ROW = 70, 20, 40, 20
_AXIS = 40
_WIDTH = 1200
_HIGHEST_LANE, _LOWEST_LANE, _LANES = 80, 12, 640  # pixels; of all lanes together
_TICKS = 8


def columns_for(cpus: int) -> int:
    """Number of time columns; fewer on machines with many CPUs, so that the file stays small."""
    return max(50, min(COLUMNS, 16 * COLUMNS // max(1, cpus)))


def svg_lines(summary: Summary, course: Course) -> Iterator[str]:
    """The lines of the SVG file."""
    lane = max(_LOWEST_LANE, min(_HIGHEST_LANE, _LANES // max(1, len(course.counts))))
    top = _TOP + _LEGEND_ROW * -(-len(course.names) // 4)
    height = top + lane * len(course.counts) + _AXIS
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="100%" font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{_WIDTH}" height="{height}" fill="white"/>'
    yield f'<text x="{_LEFT}" y="22" font-size="16">{escape(heading(summary))}</text>'
    yield from _legend(summary, course)
    highest = max((sum(column) for column in _all_columns(course)), default=0)
    for cpu in range(len(course.counts)):
        yield from _lane(course, cpu, top + cpu * lane, lane, highest)
    yield from _axis(summary, top, height - _AXIS)
    if highest:
        yield (
            f'<text x="{_WIDTH - _RIGHT}" y="{height - 4}" text-anchor="end" fill="#555">'
            f"full height of a lane: {highest} exits in a column</text>"
        )
    yield "</svg>"


def html_lines(summary: Summary, course: Course) -> Iterator[str]:
    """The lines of a page with the picture and the numbers."""
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f"<title>{escape(heading(summary))}</title>"
    yield (
        "<style>body{font-family:sans-serif;max-width:75em;margin:1em auto;padding:0 1em}"
        "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:left;"
        "border-bottom:1px solid #ddd}td.n,th.n{text-align:right}"
        "code{font-size:90%}</style></head><body>"
    )
    yield from svg_lines(summary, course)
    rows = [
        (
            f"{row.count}",
            f"{row.share:.1%}",
            "?" if row.rate is None else f"{row.rate:.1f}",
            row.name,
            " ".join(map(str, row.per_cpu)),
        )
        for row in summary.reasons
    ]
    yield from _html_table(("count", "share", "per second", "exit", "for each CPU"), rows, 3)
    yield from _html_table(
        ("count", "exit", "detail"),
        [(f"{row.count}", row.name, row.detail) for row in summary.details], 1,
    )  # fmt: skip
    yield from _html_table(
        ("count", "address", "exit", "symbol"),
        [(f"{row.count}", f"{row.rip:#x}", row.name, row.symbol) for row in summary.places], 1,
    )  # fmt: skip
    yield (
        f"<p>zpp {escape(summary.zpp_version)}, build <code>{escape(summary.build_id)}</code></p>"
    )
    yield "</body></html>"


def _html_table(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], numbers: int
) -> Iterator[str]:
    if not rows:
        return
    yield "<table>"
    for tag, cells in (("th", head), *(("td", row) for row in rows)):
        parts = [
            f"<{tag}{' class=n' if column < numbers else ''}>{escape(cell)}</{tag}>"
            for column, cell in enumerate(cells)
        ]
        yield f"<tr>{''.join(parts)}</tr>"
    yield "</table>"


def _colour(course: Course, name: str) -> str:
    return COLOURS[course.names.index(name) % len(COLOURS)]


def _legend(summary: Summary, course: Course) -> Iterator[str]:
    counts = {row.name: row for row in summary.reasons}
    step = (_WIDTH - _LEFT - _RIGHT) // 4
    for number, name in enumerate(course.names):
        x, y = _LEFT + number % 4 * step, _TOP + number // 4 * _LEGEND_ROW
        row = counts.get(name)
        text = name
        if row is not None:
            text += f": {row.count}" + ("" if row.rate is None else f" ({row.rate:.0f}/s)")
        yield f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{_colour(course, name)}"/>'
        yield f'<text x="{x + 18}" y="{y}">{escape(text)}</text>'


def _all_columns(course: Course) -> Iterator[list[int]]:
    for names in course.counts:
        for column in range(course.columns):
            yield [counts[column] for counts in names.values()]


def _lane(course: Course, cpu: int, y: int, height: int, highest: int) -> Iterator[str]:
    """One path for each reason: its bars stand on those of the more frequent ones.

    The height of a column grows with the square root of its count, so that rare exits show.
    """
    width = (_WIDTH - _LEFT - _RIGHT) / course.columns
    bottom = y + height
    yield f'<text x="{_LEFT - 8}" y="{bottom - 2}" text-anchor="end">CPU {cpu}</text>'
    yield f'<path d="M{_LEFT} {bottom}H{_WIDTH - _RIGHT}" stroke="#ccc"/>'
    below = [0] * course.columns
    names = course.counts[cpu]
    totals = [sum(column) for column in zip(*names.values(), strict=True)] if names else []
    for name in (name for name in course.names if name in names):
        bars = []
        for column, count in enumerate(names[name]):
            if count:
                scale = (totals[column] / highest) ** 0.5 * (height - 2) / totals[column]
                foot = bottom - below[column] * scale
                bars.append(
                    f"M{_LEFT + column * width:.1f} {foot:.1f}v{-count * scale:.1f}"
                    f"h{width:.1f}v{count * scale:.1f}z"
                )
                below[column] += count
        title = escape(f"CPU {cpu}: {sum(names[name])} {name}")
        yield (
            f'<path fill="{_colour(course, name)}" d="{"".join(bars)}">'
            f"<title>{title}</title></path>"
        )


def _axis(summary: Summary, top: int, y: int) -> Iterator[str]:
    span = _WIDTH - _LEFT - _RIGHT
    end = summary.seconds or summary.ticks / 1e6
    unit = "s" if summary.seconds else "million ticks"
    for tick in range(_TICKS + 1):
        x = _LEFT + span * tick / _TICKS
        yield f'<path d="M{x:.1f} {top}V{y + 4}" stroke="#000" stroke-opacity=".12"/>'
        anchor = "end" if tick == _TICKS else "middle"
        text = f"{end * tick / _TICKS:.3g}" + (f" {unit}" if tick == _TICKS else "")
        yield f'<text x="{x:.1f}" y="{y + 18}" text-anchor="{anchor}">{text}</text>'

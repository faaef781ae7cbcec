"""The table of `zpp-image trace`, in at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from efi_image.inspect.trace_summary import Detail, ReasonCount, Summary
from efi_image.render.text import table

WIDTH = 80


def trace_lines(summary: Summary) -> Iterator[str]:
    """The lines of the table."""
    yield heading(summary)
    yield ""
    yield from reason_lines(summary.reasons)
    if summary.details:
        yield ""
        yield from detail_lines(summary.details)
    if summary.places:
        yield ""
        rows = [("count", "address", "exit", "symbol")]
        rows += [(f"{row.count}", f"{row.rip:#x}", row.name, row.symbol) for row in summary.places]
        yield from _cut(table(rows, "><<<"))


def heading(summary: Summary) -> str:
    """What was traced, in one line."""
    cpus = f"{summary.cpus} CPU{'s' if summary.cpus != 1 else ''}"
    time = f" in {summary.seconds:.3f} s" if summary.seconds else f" in {summary.ticks} TSC ticks"
    return f"{summary.exits} VM exits on {cpus} with {summary.vendor.title}{time}"


def reason_lines(reasons: Iterable[ReasonCount]) -> Iterator[str]:
    """Counts, shares and rates of the reasons."""
    rows = [("count", "share", "per second", "exit")]
    for row in reasons:
        rate = "?" if row.rate is None else f"{row.rate:.1f}"
        rows.append((f"{row.count}", f"{row.share:.1%}", rate, row.name))
    yield from _cut(table(rows, ">>><"))


def detail_lines(details: Iterable[Detail]) -> Iterator[str]:
    """The most frequent sub-kinds."""
    rows = [
        ("count", "detail"),
        *((f"{row.count}", f"{row.name}: {row.detail}") for row in details),
    ]
    yield from _cut(table(rows, "><"))


def _cut(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"

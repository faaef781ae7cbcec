"""Facts about a trace of VM exits: counts, rates, places, and their course over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from efi_image.formats.vm_trace import Trace, Vendor, VmExit
from efi_image.inspect.vm_exit_reasons import detail_of, name_of, reason_of
from efi_image.progress import Progress

_T = TypeVar("_T")
Symbolize = Callable[[int], str]
PLACES = 10  # of the most frequent ones
OTHERS = "others"


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """The exits of one reason; `rate` is in exits per second, None if the TSC's is unknown."""

    name: str
    reason: int
    count: int
    share: float  # 0 to 1
    rate: float | None
    per_cpu: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """An address where the guest exits; `symbol` is '' if unknown."""

    rip: int
    symbol: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Detail:
    """A sub-kind of a reason, such as a CPUID leaf."""

    name: str
    detail: str
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A trace in numbers; `seconds` and `tsc_hz` are None if the TSC's rate is unknown."""

    vendor: Vendor
    zpp_version: str
    build_id: str
    cpus: int
    exits: int
    ticks: int
    tsc_hz: int | None
    seconds: float | None
    rate: float | None
    skipped: int
    reasons: tuple[ReasonCount, ...]
    details: tuple[Detail, ...]
    places: tuple[Place, ...]


class Tally:
    """Counts exits as they come."""

    def __init__(self, vendor: Vendor, cpus: int) -> None:
        self.vendor = vendor
        self.cpus = cpus
        self.exits = 0
        self.ticks = 0
        self._reasons: Counter[tuple[str, int, int]] = Counter()
        self._details: Counter[tuple[str, str]] = Counter()
        self._places: Counter[tuple[int, str]] = Counter()

    def add(self, exit_: VmExit) -> None:
        """Count an exit."""
        name = name_of(self.vendor, exit_)
        self.exits += 1
        self.ticks = max(self.ticks, exit_.ticks)
        self._reasons[name, reason_of(self.vendor, exit_.reason).number, exit_.cpu] += 1
        if title := detail_of(self.vendor, exit_).title:
            self._details[name, title] += 1
        self._places[exit_.rip, name] += 1

    def reasons(self, seconds: float | None) -> tuple[ReasonCount, ...]:
        """The reasons, the most frequent first."""
        per_cpu: dict[tuple[str, int], list[int]] = {}
        for (name, reason, cpu), count in self._reasons.items():
            per_cpu.setdefault((name, reason), [0] * self.cpus)[cpu] += count
        rows = [
            ReasonCount(
                name=name,
                reason=reason,
                count=sum(counts),
                share=sum(counts) / self.exits,
                rate=sum(counts) / seconds if seconds else None,
                per_cpu=tuple(counts),
            )
            for (name, reason), counts in per_cpu.items()
        ]
        return tuple(sorted(rows, key=lambda row: (-row.count, row.name)))

    def details(self, limit: int) -> tuple[Detail, ...]:
        """The most frequent sub-kinds."""
        return tuple(Detail(*key, count) for key, count in _top(self._details, limit))

    def places(self, limit: int, symbolize: Symbolize) -> tuple[Place, ...]:
        """The most frequent addresses."""
        return tuple(
            Place(rip, symbolize(rip), name, count)
            for (rip, name), count in _top(self._places, limit)
        )


def _top(counts: Counter[_T], limit: int) -> Iterable[tuple[_T, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:limit]


def summarize(
    trace: Trace, symbolize: Symbolize, limit: int = PLACES, progress: Progress | None = None
) -> Summary:
    """Read the whole trace; raises InputError at a damaged packet."""
    tally = Tally(trace.start.vendor, trace.start.cpu_count)
    for exit_ in trace.exits(progress):
        tally.add(exit_)
    seconds = tally.ticks / trace.tsc_hz if trace.tsc_hz else None
    return Summary(
        vendor=trace.start.vendor,
        zpp_version=trace.start.zpp_version,
        build_id=trace.start.build_id,
        cpus=trace.start.cpu_count,
        exits=tally.exits,
        ticks=tally.ticks,
        tsc_hz=trace.tsc_hz or None,
        seconds=seconds,
        rate=tally.exits / seconds if seconds else None,
        skipped=trace.skipped,
        reasons=tally.reasons(seconds),
        details=tally.details(limit),
        places=tally.places(limit, symbolize),
    )


@dataclass(frozen=True, slots=True)
class Course:
    """Exits over time: `counts[cpu][name][column]`; `names` are the most frequent, then OTHERS."""

    names: tuple[str, ...]
    columns: int
    counts: tuple[dict[str, list[int]], ...]


def course(
    trace: Trace, summary: Summary, columns: int, most: int, progress: Progress | None = None
) -> Course:
    """Sort the exits into `columns` equal spans of time; at most `most` names are distinguished."""
    names = [row.name for row in summary.reasons]
    if len(names) > most:
        names = [*names[: most - 1], OTHERS]
    counts: tuple[dict[str, list[int]], ...] = tuple({} for _ in range(summary.cpus))
    width = summary.ticks + 1
    known = set(names)
    for exit_ in trace.exits(progress):
        name = name_of(summary.vendor, exit_)
        of_cpu = counts[exit_.cpu].setdefault(name if name in known else OTHERS, [0] * columns)
        of_cpu[min(exit_.ticks * columns // width, columns - 1)] += 1
    return Course(tuple(names), columns, counts)

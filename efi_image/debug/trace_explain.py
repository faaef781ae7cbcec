"""Narrates a boot: each kind of VM exit when it first happens, in plain words."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator

from efi_image.formats.vm_trace import MODES, TraceStart, VmExit
from efi_image.inspect.trace_summary import Tally
from efi_image.inspect.vm_exit_reasons import detail_of, kind_of, name_of
from efi_image.render.trace_table import WIDTH

_INDENT = "    "


class Narrator:
    """Prints lines with `say`. Without the TSC's rate, times come from this machine's clock."""

    def __init__(self, say: Callable[[str], None], tsc_hz: int = 0) -> None:
        self.tally: Tally | None = None
        self._say = say
        self._tsc_hz = tsc_hz
        self._began = 0.0
        self._names: set[str] = set()
        self._details: set[tuple[str, str]] = set()

    def __call__(self, start: TraceStart, exit_: VmExit) -> None:
        """Take an exit."""
        if self.tally is None:
            self.tally = Tally(start.vendor, start.cpu_count)
            self._began = time.monotonic()
            self._tsc_hz = start.tsc_hz or self._tsc_hz
            self._say(f"zpp {start.zpp_version} runs the machine with {start.vendor.title}")
        self.tally.add(exit_)
        for line in self._lines(start, exit_):
            self._say(line)

    def _lines(self, start: TraceStart, exit_: VmExit) -> Iterator[str]:
        vendor = start.vendor
        name, detail = name_of(vendor, exit_), detail_of(vendor, exit_)
        is_new = name not in self._names
        if not is_new and (name, detail.title) in self._details:
            return
        self._names.add(name)
        self._details.add((name, detail.title))
        title = f"{name}: {detail.title}" if detail.title else name
        place = (
            f"{exit_.cs:#x}:{exit_.rip:#x}" if exit_.mode < len(MODES) - 1 else f"{exit_.rip:#x}"
        )
        yield f"{self._time(exit_)} CPU {exit_.cpu}, {title} (at {place})"
        kind = kind_of(vendor, exit_)
        if is_new:
            section = kind.section(vendor)
            text = f"The guest {kind.tried}. zpp {detail.did or kind.did}."
            text += f" [{section}]" if section else ""
        elif detail.did:
            text = f"zpp {detail.did}."
        else:
            return
        yield from textwrap.wrap(
            text, WIDTH - len("zpp-image: "), initial_indent=_INDENT, subsequent_indent=_INDENT
        )

    def _time(self, exit_: VmExit) -> str:
        seconds = exit_.ticks / self._tsc_hz if self._tsc_hz else time.monotonic() - self._began
        return f"{seconds:.3f} s"

"""A trace in Chrome's trace event format, for ui.perfetto.dev and chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from efi_image.formats.vm_trace import MODES, Trace
from efi_image.inspect.vm_exit_reasons import detail_of, name_of, reason_of
from efi_image.progress import Progress

_PROCESS = 1_000_000  # not a CPU's number: Perfetto takes that thread for the main one
_TICKS = 1_000_000_000  # a second of them, if the TSC's rate is unknown


def perfetto_lines(
    trace: Trace, symbolize: Callable[[int], str], progress: Progress | None = None
) -> Iterator[str]:
    """The lines of the JSON file: one track for each CPU, an instant event for each exit.

    Times are in microseconds; without the TSC's rate a tick counts as a nanosecond.
    """
    vendor = trace.start.vendor
    about = {
        "hypervisor": f"zpp {trace.start.zpp_version}",
        "build": trace.start.build_id,
        "extension": vendor.title,
        "time": "of the TSC" if trace.tsc_hz else "one tick of the TSC is shown as 1 ns",
    }
    yield f'{{"displayTimeUnit": "ms", "otherData": {json.dumps(about)}, "traceEvents": ['
    yield _event({"ph": "M", "name": "process_name", "pid": _PROCESS,
                  "args": {"name": f"VM exits ({vendor.title})"}})  # fmt: skip
    scale = 1e6 / (trace.tsc_hz or _TICKS)
    known: set[int] = set()
    for exit_ in trace.exits(progress):
        if exit_.cpu not in known:
            known.add(exit_.cpu)
            name = {"name": f"CPU {exit_.cpu}"}
            yield "," + _event({"ph": "M", "name": "thread_name", "pid": _PROCESS,
                                "tid": exit_.cpu, "args": name})  # fmt: skip
        arguments = {
            "rip": f"{exit_.cs:#x}:{exit_.rip:#x}",
            "symbol": symbolize(exit_.rip),
            "detail": detail_of(vendor, exit_).title,
            "qualification": f"{exit_.qualification:#x}" if exit_.qualification else "",
            "mode": MODES[exit_.mode] if exit_.mode != len(MODES) - 1 else "",
            "cpl": f"{exit_.cpl}" if exit_.cpl else "",
        }
        yield "," + _event({
            "ph": "i", "s": "t", "name": name_of(vendor, exit_),
            "cat": reason_of(vendor, exit_.reason).kind, "pid": _PROCESS, "tid": exit_.cpu,
            "ts": round(exit_.ticks * scale, 3),
            "args": {key: value for key, value in arguments.items() if value},
        })  # fmt: skip
    yield "]}"


def _event(fields: dict[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"))

"""`run --trace` and `run --explain`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from efi_image.cli.run_viewer import RunViewer
from efi_image.debug.trace_explain import Narrator
from efi_image.debug.trace_follow import Recording, recording
from efi_image.debug.trace_image import traced_copy
from efi_image.emulator import Emulator, RunRequest
from efi_image.emulator.bochs import TSC_HZ as BOCHS_TSC_HZ
from efi_image.emulator.request import TRACE_PORT
from efi_image.inspect.trace_summary import PLACES
from efi_image.io.atomic import refuse_input
from efi_image.render.trace_table import detail_lines, reason_lines

_ICOUNT_TSC_HZ = 1_000_000_000


@contextmanager
def tracing(
    request: RunRequest, emulator: Emulator, output: Path | None, explain: bool, viewer: RunViewer
) -> Iterator[RunRequest]:
    """The request for a traced run, or the same request if there is nothing to trace.

    A traced run boots a copy of the image, with tracing switched on. Raises InputError,
    UsageError and OutputError.
    """
    if output is None and not explain:
        yield request
        return
    if output is not None:
        refuse_input(output, request.image, request.firmware)
    tsc_hz = _known_tsc_hz(request, emulator)
    narrator = Narrator(viewer.say, tsc_hz) if explain else None
    with tempfile.TemporaryDirectory(prefix="zpp-trace-") as folder:
        port = Path(folder) / "port"
        image = traced_copy(request.image, Path(folder), TRACE_PORT)
        traced = replace(request, image=image, debug=replace(request.debug, trace=port))
        with recording(port, output, narrator, tsc_hz) as made:
            yield traced
    _conclude(made, output, narrator, viewer.say)


def _known_tsc_hz(request: RunRequest, emulator: Emulator) -> int:
    if emulator.name == "bochs":
        return BOCHS_TSC_HZ
    return _ICOUNT_TSC_HZ if request.debug.deterministic else 0


def _conclude(
    made: Recording, output: Path | None, narrator: Narrator | None, say: Callable[[str], None]
) -> None:
    if made.start is None:
        say("no trace: zpp did not start")
        return
    if narrator is not None and narrator.tally is not None:
        tally = narrator.tally
        seconds = tally.ticks / made.tsc_hz if made.tsc_hz else None
        say(f"{tally.exits} VM exits:")
        for line in reason_lines(tally.reasons(seconds)):
            say(line)
        for line in detail_lines(tally.details(PLACES)):
            say(line)
    if output is not None:
        say(f"{output}: {made.packets} packets; `zpp-image trace {output}` shows them")

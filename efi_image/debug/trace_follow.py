"""Reads the debug port's bytes during a run: records the packets, passes the exits on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO

from efi_image.errors import OutputError, ZppError
from efi_image.formats.vm_trace import (
    Clock,
    PacketStream,
    TraceStart,
    VmExit,
    header,
    is_start,
)
from efi_image.io.atomic import check_output

_POLL = 0.02  # seconds
_ENOUGH = 0.4  # seconds to measure the TSC's rate in

OnExit = Callable[[TraceStart, VmExit], None]


@dataclass(slots=True)
class Recording:
    """A trace that is being recorded; `tsc_hz` is 0 until it is known."""

    start: TraceStart | None = None
    packets: int = 0
    tsc_hz: int = 0
    clock: Clock | None = None
    stream: PacketStream = field(default_factory=PacketStream)


class _Follower:
    """Reads new bytes from the port's file, and writes the trace."""

    def __init__(
        self, port: Path, out: BinaryIO | None, on_exit: OnExit | None, tsc_hz: int
    ) -> None:
        self.recording = Recording(tsc_hz=tsc_hz)
        self.end = Event()
        self.error: ZppError | None = None
        self._port = port
        self._out = out
        self._on_exit = on_exit
        self._measures = tsc_hz == 0
        self._offset = 0
        self._first: tuple[float, int] | None = None  # seconds, ticks

    def run(self) -> None:
        """Until `end` is set, and once more."""
        try:
            while not self.end.wait(_POLL):
                self._drain()
            self._drain()
        except OSError as error:
            self.error = OutputError(f"cannot be written: {error.strerror}", where="--trace")
        except ZppError as error:
            self.error = error

    def _drain(self) -> None:
        try:
            with self._port.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        self._offset += len(data)
        now = time.monotonic()
        last = None
        for packet in self.recording.stream.feed(data):
            if self._out is not None:
                self._out.write(packet)
            self.recording.packets += 1
            last = self._take(packet) or last
        if self._out is not None and data:
            self._out.flush()
        if last is not None and self._measures:
            self._measure(now, last.ticks)

    def _take(self, packet: bytes) -> VmExit | None:
        recording = self.recording
        if is_start(packet):
            start = TraceStart.unpack(packet)
            if recording.clock is None:
                recording.start, recording.clock = start, Clock(start)
                recording.tsc_hz = start.tsc_hz or recording.tsc_hz
            else:
                recording.clock.restart(start)
            return None
        assert recording.start is not None
        assert recording.clock is not None
        exit_ = recording.clock.unpack(packet)
        if self._on_exit is not None:
            self._on_exit(recording.start, exit_)
        return exit_

    def _measure(self, now: float, ticks: int) -> None:
        if self._first is None:
            self._first = now, ticks
        elif now - self._first[0] >= _ENOUGH:
            start = self.recording.start
            if start is not None and not start.tsc_hz:
                rate = (ticks - self._first[1]) / (now - self._first[0])
                self.recording.tsc_hz = round(rate)


@contextmanager
def recording(
    port: Path, output: Path | None, on_exit: OnExit | None = None, tsc_hz: int = 0
) -> Iterator[Recording]:
    """Follow the file `port` while the block runs; `output` gets the trace.

    `tsc_hz` is the TSC's rate if known; else this machine's clock measures it. `on_exit` runs in
    a separate thread. Raises OutputError.
    """
    out = None
    if output is not None:
        try:
            out = check_output(output).open("wb")
            out.write(header())
            out.flush()
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror}", where=str(output)) from None
    follower = _Follower(port, out, on_exit, tsc_hz)
    thread = Thread(target=follower.run, name="trace", daemon=True)
    thread.start()
    try:
        yield follower.recording
    finally:
        follower.end.set()
        thread.join()
        if out is not None:
            _finish(out, follower.recording, str(output))
    if follower.error is not None:
        raise follower.error


def _finish(out: BinaryIO, made: Recording, where: str) -> None:
    try:
        with out:
            out.seek(0)
            out.write(header(made.tsc_hz, made.stream.skipped))
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=where) from None

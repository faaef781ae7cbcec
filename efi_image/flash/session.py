"""Writes an image to a target so that it boots only when all of it was read back.

    1. the target's first and last sectors are cleared: nothing boots from it any more;
    2. all of the image is written but its first blocks, and holes become zeros;
    3. all of that is read back and compared;
    4. the partition table is written, the first sector last, and read back.

Where a write ended early, a block of its own tells how far it came (efi_image.flash.resume).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum

from efi_image.errors import (
    DoesNotFitError,
    InputError,
    OutputError,
    UsageError,
    VerificationFailed,
)
from efi_image.flash import boot_areas as ends
from efi_image.flash.boot_areas import HEAD, SMALLEST
from efi_image.flash.checksums import Ledger, Written, digest
from efi_image.flash.chunker import PIECE, Assembler, aligned, differing, joined, same
from efi_image.flash.deferred_signals import undisturbed
from efi_image.flash.readback import Difference, first_difference, read_back
from efi_image.flash.resume import Unfinished
from efi_image.flash.source import ImageSource
from efi_image.flash.target import Target
from efi_image.flash.worker_pool import Lane
from efi_image.formats.gpt.relocate import Fitted, check, fit, notes
from efi_image.progress import Progress

CHECKPOINT = 5.0  # seconds between two notes of how far it came; each is a flush


class Phase(Enum):
    """What a write is doing."""

    WRITING = "writing"
    READING_BACK = "reading back"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How an image is written; `checkpoint` in seconds."""

    verify: bool = True
    delta: bool = False
    resume: bool = False
    skip_holes: bool = False
    checkpoint: float = CHECKPOINT


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What was done, in bytes; `kept` was there already."""

    size: int
    written: int
    zeroed: int
    kept: int
    verified: int
    moved_table: bool
    partitions_reread: bool
    notes: tuple[str, ...] = ()


Watch = Callable[[Phase], Progress | None]


def _quiet(_phase: Phase) -> Progress | None:
    return None


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a job of the lane did: entries for the ledger, zeros (offset and size), and bytes."""

    entries: tuple[Written, ...] = ()
    zeros: tuple[tuple[int, int], ...] = ()
    written: int = 0
    kept: int = 0


class Writer:
    """One write of an image to a target."""

    def __init__(
        self,
        source: ImageSource,
        target: Target,
        options: WriteOptions | None = None,
        watch: Watch = _quiet,
    ) -> None:
        self._source = source
        self._target = target
        self._options = options or WriteOptions()
        if self._options.resume and not self._options.verify:
            raise UsageError("does not go with --no-verify", where="--resume")
        self._watch = watch
        self._ledger = Ledger()
        self._head = aligned(HEAD)
        self._begun = False
        self._end = 0  # of the last piece or hole
        self._limit = target.size // target.sector_size * target.sector_size
        self._from = 0  # where a resumed write goes on
        self._note = Unfinished(source.name, "", 0)
        self._done = 0  # all before it is on the target
        self._next_note = 0.0
        self._written = self._zeroed = self._kept = self._verified = 0
        self._lane: Lane | None = None
        self._has_table = False
        self._may_boot = False

    # ---- the whole of it

    def write(self) -> WriteReport:
        """Write, read back, make it boot; raises ZppError. A write that ends early can be
        resumed, and nothing boots from its target."""
        if self._target.size < SMALLEST:
            raise DoesNotFitError(
                f"has {self._target.size} bytes; at least {SMALLEST} are needed",
                where=self._target.name,
            )
        self._check_size(self._source.size or 0)
        if self._options.resume:
            self._note = ends.read_note(self._target)
            self._from = self._note.done
        try:
            with Lane() as self._lane:
                size = self._write_all()
                self._lane.drain()
            self._lane = None
            self._target.flush()
            if self._options.verify:
                self._verify()
            self._write_table()
        except BaseException:
            with undisturbed():
                self._give_up()
            raise
        return WriteReport(
            size,
            self._written,
            self._zeroed,
            self._kept,
            self._verified,
            self._limit < self._target.size and size != self._target.size,
            self._target.reread_partitions(),
            notes(bytes(self._head), self._target.sector_size),
        )

    @property
    def touched(self) -> bool:
        """Whether anything of the target was changed."""
        return self._begun

    @property
    def may_boot(self) -> bool:
        """Whether a write that failed has left something to boot from, as it could not be cleared
        again: all was read back and right but the first bytes."""
        return self._may_boot

    def _write_all(self) -> int:
        assembler = Assembler(self)
        size = self._source.feed(assembler, self._watch(Phase.WRITING))
        assembler.finish()
        self._check_size(size)
        self._begin()
        self._hole_to(min(self._padded(size), self._limit))
        return size

    def _padded(self, size: int) -> int:
        return -(-size // self._target.sector_size) * self._target.sector_size

    def _check_size(self, size: int) -> None:
        if size > self._target.size:
            raise DoesNotFitError(
                f"has {self._target.size} bytes, but the image has {size}", where=self._target.name
            )

    # ---- before the first byte

    def _begin(self) -> None:
        """Look at the image's first bytes, then see to it that the target does not boot."""
        if self._begun:
            return
        head = bytes(self._head)
        check(head, self._target.sector_size, self._source.name)
        note = Unfinished(self._source.name, digest(head).hex(), 0)
        if self._from and note.head != self._note.head:
            raise InputError(
                f"was being written with another image: {self._note.image}",
                where=self._target.name,
                hint="write without --resume",
            )
        self._clip()
        self._note = replace(note, done=self._from)
        self._done = self._from
        self._end = HEAD
        self._begun = True
        if self._from or self._options.resume:
            self._save_note(self._from)
        else:
            self._clear()
        self._next_note = time.monotonic() + self._options.checkpoint

    def _clip(self) -> None:
        """Leave the target's last sectors to the GPT's backup, if it goes there."""
        if fitted := self._fitted():
            self._limit = fitted.start

    def _clear(self) -> None:
        """See to it that nothing boots."""
        ends.clear(self._target)
        self._put_note(0)
        self._target.flush()

    def _save_note(self, done: int) -> None:
        """Tell on the target how far it came; what is counted is on the medium before."""
        self._target.flush()
        self._put_note(done)

    def _put_note(self, done: int) -> None:
        self._note = replace(self._note, done=done)
        ends.put_note(self._target, self._note)

    # ---- pieces: what the assembler calls, and what the lane does with them

    def piece(self, offset: int, view: memoryview) -> None:
        """Take a piece of the image."""
        if offset < HEAD:
            count = min(len(view), HEAD - offset)
            self._head[offset : offset + count] = view[:count]
            offset, view = offset + count, view[count:]
        if not len(view):
            return
        self._begin()
        self._check_size(offset + 1)
        view = view[: max(self._limit - offset, 0)]
        if not len(view):
            return
        self._hole_to(offset)
        assert self._lane is not None
        buffer = self._lane.buffer()
        part = buffer[: len(view)]
        part[:] = view
        self._submit(offset, part, buffer)

    def lend(self) -> memoryview | None:
        """A buffer for a whole cell, once the first bytes were looked at."""
        return self._lane.buffer() if self._begun and self._lane else None

    def release(self, buffer: memoryview) -> None:
        """A buffer that was lent is of no use."""
        if self._lane:
            self._lane.release(buffer)

    def cell(self, offset: int, buffer: memoryview) -> None:
        """Take a whole cell of the image, in a buffer that was lent."""
        if offset + PIECE > self._limit:
            self.piece(offset, buffer)
            self.release(buffer)
        else:
            self._hole_to(offset)
            self._submit(offset, buffer, buffer)

    def _submit(self, offset: int, view: memoryview, buffer: memoryview) -> None:
        assert self._lane is not None
        self._end = end = offset + len(view)
        self._lane.submit(
            lambda: self._store(offset, view), lambda stored: self._advance(end, stored), buffer
        )

    def _store(self, offset: int, view: memoryview) -> _Stored:
        """In the lane: write a piece, unless it is there."""
        if self._options.delta:
            return self._store_difference(offset, view)
        entry = self._entry(offset, view)
        if offset + len(view) <= self._from:
            return _Stored((entry,), kept=len(view))
        self._target.write(offset, view)
        return _Stored((entry,), written=len(view))

    def _store_difference(self, offset: int, view: memoryview) -> _Stored:
        """Write what is not there; what is there was read back now."""
        old = aligned(len(view))
        self._target.read(offset, old)
        entries, written = [], 0
        for start, end in differing(old, view):
            part = view[start:end]
            self._target.write(offset + start, part)
            entries.append(self._entry(offset + start, part))
            written += len(part)
        return _Stored(tuple(entries), written=written, kept=len(view) - written)

    def _entry(self, offset: int, view: memoryview) -> Written:
        return Written(offset, len(view), digest(view) if self._options.verify else b"")

    def _hole_to(self, end: int) -> None:
        start, self._end = self._end, max(self._end, end)
        if end > start and self._lane is not None:
            self._lane.submit(
                lambda: self._store_hole(start, end), lambda stored: self._advance(end, stored)
            )

    def _store_hole(self, start: int, end: int) -> _Stored:
        """In the lane: see to it that nothing old shows in a hole."""
        if self._options.skip_holes:
            return _Stored()
        return _Stored(zeros=joined(self._target.zero(start, end - start)))

    def _advance(self, end: int, stored: _Stored) -> None:
        """All up to there is on the target; note that now and then."""
        self._written += stored.written
        self._kept += stored.kept
        self._zeroed += sum(count for _, count in stored.zeros)
        if self._options.verify:
            for entry in stored.entries:
                self._ledger.add(entry)
            for place, count in stored.zeros:
                self._ledger.add_zeros(place, count)
        self._done = max(self._done, end)
        now = time.monotonic()
        if now >= self._next_note and self._done > self._note.done:
            self._save_note(self._done)
            self._next_note = time.monotonic() + self._options.checkpoint

    # ---- the end

    def _fitted(self) -> Fitted | None:
        target = self._target
        return fit(bytes(self._head), target.size, target.sector_size, target.name)

    def _write_table(self) -> None:
        """Write what makes it boot: the GPT's backup, the first bytes, and last the first sector,
        as a sector is written whole or not at all."""
        sector = self._target.sector_size
        fitted = self._fitted()
        parts = [(0, fitted.head if fitted else bytes(self._head))]
        if fitted:
            parts.append((fitted.start, fitted.tail))
        self._has_table = True
        for offset, data in reversed(parts):
            view = _aligned_copy(data)
            start = 0 if offset else sector
            self._target.write(offset + start, view[start:])
            self._written += len(data)
        self._target.flush()
        self._may_boot = True
        self._target.write(0, _aligned_copy(parts[0][1])[:sector])
        self._target.flush()
        if self._options.verify:
            self._target.drop_caches()
            for offset, data in parts:
                self._check(offset, data)

    def _check(self, offset: int, wanted: bytes) -> None:
        found = aligned(len(wanted))
        self._target.read(offset, found)
        if not same(found, wanted):
            raise self._differs(offset + first_difference(found, wanted))
        self._verified += len(wanted)

    def _give_up(self) -> None:
        """See to it that nothing boots, and note how far it came; if the target takes that."""
        if not self._begun:
            return
        with suppress(OutputError):
            if self._has_table:
                ends.clear(self._target)
                self._done = min(self._done, ends.tail(self._target))
            self._save_note(self._done)
            self._target.flush()
            self._may_boot = False

    # ---- reading back

    def _verify(self) -> None:
        """Read all that was written from the medium, and compare it."""
        self._target.drop_caches()
        found = read_back(self._target, self._ledger, self._watch(Phase.READING_BACK))
        if found:
            raise self._differs(self._locate(found))
        self._verified += self._ledger.bytes

    def _locate(self, difference: Difference) -> int:
        """The first byte that differs, which the image itself must be asked for."""
        written = difference.written
        original = self._source.part(written.offset, written.size)
        if original is None or digest(original) != written.digest:
            return written.offset
        return written.offset + first_difference(difference.found, original)

    def _differs(self, offset: int) -> VerificationFailed:
        self._done = offset // PIECE * PIECE  # from where on a resumed write writes again
        return VerificationFailed(
            f"differs from what was written, first at byte {offset}",
            where=self._target.name,
            hint="it does not boot now; the medium or its port is faulty",
        )


def _aligned_copy(data: bytes) -> memoryview:
    view = aligned(len(data))
    view[:] = data
    return view

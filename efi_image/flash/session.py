"""Writes an image to an open target so that it boots only when all of it was read back.

    0. if asked for, the target's capacity is tested;
    1. the target's first and last sectors are cleared: nothing boots from it any more;
    2. all of the image is written but its first bytes, and holes become zeros;
    3. all of that is read back and compared;
    4. the partition table is written, the first sector last, and read back;
    5. the target must show the image's partitions.

An image that is not recognized, or is incomplete, is refused (efi_image.flash.recognition).

Meanwhile a note on the target tells how far the write came (efi_image.flash.resume).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial

from efi_image.errors import DoesNotFitError, InputError, OutputError, VerificationFailed
from efi_image.flash.boot_areas import HEAD, MIN_SIZE, BootAreas
from efi_image.flash.capacity_test import check_capacity
from efi_image.flash.checksums import Checksums, sha256
from efi_image.flash.chunker import PIECE, Cell, Chunker, aligned, same
from efi_image.flash.options import Phase, Watch, WriteOptions, WriteReport, quiet
from efi_image.flash.readback import Difference, first_difference, read_back
from efi_image.flash.recognition import Recognized, check_target, recognize
from efi_image.flash.resume import Journal, Unfinished, read_note
from efi_image.flash.source import ImageSource
from efi_image.flash.store import Store, Stored
from efi_image.flash.target import Target
from efi_image.flash.worker_pool import WorkerPool
from efi_image.io.deferred_signals import deferred_signals


class Session:
    """One write of an image to a target."""

    def __init__(
        self, source: ImageSource, target: Target, options: WriteOptions, watch: Watch = quiet
    ) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._watch = watch
        self._boot = BootAreas(target)
        self._journal = Journal(target, options.checkpoint)
        self._store = Store(target, options)
        self._checksums = Checksums()
        self._earlier: Unfinished | None = None  # the write that is resumed
        self._tested = False  # the capacity test has overwritten something
        self._begun = False  # the boot areas may have been cleared
        self._recognized: Recognized | None = None
        self._end = HEAD  # of the last cell
        self._written = self._zeroed = self._kept = self._verified = 0

    def write(self) -> WriteReport:
        """Do all steps. Raises ZppError; then `left_behind` describes the state of the target."""
        size = self._source.size
        if size is not None and size < MIN_SIZE and not self._options.raw_bytes:
            recognize(self._source, size, self._target.sector_size)
        self._check_size(max(size or 0, MIN_SIZE))
        if self._options.capacity_test:
            self._tested = True
            check_capacity(self._target, self._watch(Phase.CAPACITY_TEST))
        if self._options.resume:
            self._earlier = read_note(self._target)
        try:
            size = self._copy()
            self._target.flush()
            if self._options.verify:
                self._read_back()
            self._make_bootable()
            self._target.check_place()
            if self._recognized and self._options.verify:
                check_target(self._recognized, self._target.name, size)
        except BaseException:
            with deferred_signals():
                self._give_up()
            raise
        return WriteReport(
            size=size,
            written=self._written,
            zeroed=self._zeroed,
            kept=self._kept,
            verified=self._verified,
            moved_table=self._boot.limit < self._target.usable and size != self._target.size,
            partitions_reread=self._target.reread_partitions(),
        )

    def left_behind(self, error: BaseException) -> str:
        """The target's state after a write that failed by `error`; '' if it was not changed."""
        if self._boot.may_boot:
            return "the write is unfinished, and clearing the target failed: do not boot from it"
        unfinished = "the write is unfinished, and nothing boots from it"
        if self._begun and not isinstance(error, InputError):  # the same image fails again
            return f"{unfinished}; --resume continues it"
        return unfinished if self._begun or self._tested else ""

    def _check_size(self, size: int) -> None:
        """Raise DoesNotFitError if the target has less than `size` bytes."""
        target = self._target
        if size > target.size:
            needs = f"the image has {size}" if size > MIN_SIZE else f"{size} are needed at least"
            raise DoesNotFitError(
                f"has {target.size} bytes, but {needs}", where=target.name, hint=target.size_hint
            )

    # ---- 1. before the first byte

    def _begin(self) -> None:
        """Check the image's first bytes; then see to it that nothing boots from the target."""
        if self._begun:
            return
        if not self._options.raw_bytes:
            self._recognize()
        earlier = self._earlier
        note = Unfinished(self._source.name, sha256(self._boot.head).hex(), 0)
        if earlier and earlier.done and earlier.head != note.head:
            raise InputError(
                f"has an unfinished write of another image: {earlier.image}",
                where=self._target.name,
                hint="write without --resume",
            )
        if earlier:
            note = replace(note, done=earlier.done)
            self._store = Store(self._target, self._options, resumed=earlier.done)
        self._begun = True
        self._journal.begin(note)
        if earlier:
            self._journal.save()
        else:
            self._boot.clear()
            self._journal.write()
            self._target.flush()

    def _recognize(self) -> None:
        """Find out what the image is; raises InputError, UsageError, DoesNotFitError."""
        target = self._target
        self._recognized = recognize(self._source, target.size, target.sector_size)
        if self._recognized.table:
            self._boot.fit_table(self._recognized.table)

    # ---- 2. writing

    def _copy(self) -> int:
        """Write all but the boot areas; the image's size."""
        with WorkerPool[Stored]() as pool:
            chunker = Chunker(pool, partial(self._take, pool))
            size = self._source.copy_to(chunker, self._watch(Phase.WRITING))
            chunker.finish()
            self._check_size(size)
            self._begin()
            if self._recognized:
                self._recognized.require(size, self._source.name)
            sector = self._target.sector_size
            end = min(-(-size // sector) * sector, self._boot.limit)
            if end > self._end:
                pool.submit(partial(self._store.hole, self._end, end))
            for stored in pool.drain():
                self._count(stored)
        return size

    def _take(self, pool: WorkerPool[Stored], cell: Cell) -> None:
        """Keep the image's first bytes for later, and store the rest of a cell."""
        if cell.offset == 0 and cell.runs[0][0] == 0:
            self._boot.head = bytes(cell.buffer[:HEAD])
        self._check_size(cell.offset + cell.runs[-1][0] + 1)
        self._begin()
        cell = cell.clipped(HEAD, self._boot.limit)
        if not cell.runs:
            pool.release(cell.buffer)
            return
        pool.submit(partial(self._store.cell, self._end, cell), cell.buffer)
        self._end = cell.offset + cell.runs[-1][1]
        for stored in pool.results():
            self._count(stored)

    def _count(self, stored: Stored) -> None:
        """All bytes before its end are on the target."""
        self._written += stored.written
        self._kept += stored.kept
        self._zeroed += sum(count for _, count in stored.zeros)
        if self._options.verify:
            for piece in stored.pieces:
                self._checksums.add(piece)
            for offset, count in stored.zeros:
                self._checksums.add_zeros(offset, count)
        self._journal.advance(stored.end)

    # ---- 3. reading back

    def _read_back(self) -> None:
        self._target.drop_caches()
        found = read_back(self._target, self._checksums, self._watch(Phase.READING_BACK))
        if found:
            raise self._differs(self._locate(found))
        self._verified += self._checksums.bytes

    def _locate(self, difference: Difference) -> int:
        """The first byte that differs; the image is read again to find it."""
        piece = difference.written
        original = self._source.part(piece.offset, piece.size)
        if original is None or sha256(original) != piece.sha256:
            return piece.offset
        return piece.offset + first_difference(difference.found, original)

    def _differs(self, offset: int) -> VerificationFailed:
        self._journal.done = offset // PIECE * PIECE  # a resumed write starts there
        return VerificationFailed(
            f"verification failed: the data read back differs, first at byte {offset}",
            where=self._target.name,
            hint="try another port, then another medium; nothing boots from it now",
        )

    # ---- 4. the boot areas

    def _make_bootable(self) -> None:
        self._boot.write()
        self._written += sum(len(data) for _, data in self._boot.parts())
        if not self._options.verify:
            return
        self._target.drop_caches()
        for offset, expected in self._boot.parts():
            found = aligned(len(expected))
            self._target.read(offset, found)
            if not same(found, expected):
                raise self._differs(offset + first_difference(found, expected))
            self._verified += len(expected)

    # ---- failure

    def _give_up(self) -> None:
        """Clear the boot areas again and note how far it came, if the target takes that."""
        if not self._begun:
            return
        with suppress(OutputError):
            if self._boot.written:
                self._boot.clear()
                self._journal.done = min(self._journal.done, self._boot.tail)
            self._journal.save()
            self._target.flush()
            self._boot.may_boot = False

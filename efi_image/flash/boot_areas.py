"""The first and last bytes of a target. Nothing boots without them, so they are written last."""

from __future__ import annotations

from efi_image.flash.chunker import GRAIN, aligned, aligned_copy
from efi_image.flash.target import Target
from efi_image.formats.gpt.relocate import Fitted, fit
from efi_image.formats.gpt.structures import GptCopy

HEAD = GRAIN  # bytes at the beginning of an image that are written last
MIN_SIZE = 2 * HEAD  # bytes of a target
_TAIL = 1 << 20  # bytes; a GPT has its backup there, RAID and ZFS have their labels


class BootAreas:
    """The areas at both ends of a target, made from an image's first bytes.

    A GPT is fitted to the target: its backup goes to the target's end.
    """

    def __init__(self, target: Target) -> None:
        self.head = bytes(HEAD)
        self.written = False  # some area may be on the target
        self.may_boot = False  # the first sector may be on the target
        self._target = target
        self._fitted: Fitted | None = None

    def fit_table(self, table: GptCopy) -> None:
        """Fit the image's primary GPT; raises DoesNotFitError if the target has no room for it."""
        target = self._target
        self._fitted = fit(table, self.head, target.size, target.sector_size, target.name)

    @property
    def limit(self) -> int:
        """The end of the image's own data at the latest: a GPT's backup, or the target's end."""
        return self._fitted.start if self._fitted else self._target.usable

    @property
    def tail(self) -> int:
        """The byte at which the last area to clear begins."""
        return max(self._target.usable - _TAIL, HEAD)

    def clear(self) -> None:
        """Remove the first block, the partition table and its backup; raises OutputError."""
        zeros = aligned(max(HEAD, _TAIL))
        self._target.write(0, zeros[:HEAD])
        self._target.write(self.tail, zeros[: self._target.usable - self.tail])

    def parts(self) -> list[tuple[int, bytes]]:
        """Offset and bytes of each area: the head, and a GPT's backup."""
        if self._fitted is None:
            return [(0, self.head)]
        return [(0, self._fitted.head), (self._fitted.start, self._fitted.tail)]

    def write(self) -> None:
        """Write all areas; the first sector is last, as a sector is written whole or not at all.

        Raises OutputError.
        """
        sector = self._target.sector_size
        self.written = True
        for offset, data in reversed(self.parts()):
            start = 0 if offset else sector
            self._target.write(offset + start, aligned_copy(data)[start:])
        self._target.flush()
        self.may_boot = True
        self._target.write(0, aligned_copy(self.parts()[0][1])[:sector])
        self._target.flush()

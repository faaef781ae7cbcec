"""The free clusters of a volume, and the choice of those for new files."""

from __future__ import annotations

from efi_image.errors import DoesNotFitError
from efi_image.formats.fat.geometry import FIRST_CLUSTER
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.fat.writer import LARGE, LARGE_UNIT

Run = tuple[int, int]  # the first of some contiguous clusters, and how many there are


class FreeSpace:
    """A byte for each cluster: 0 where it is free."""

    def __init__(self, volume: FatVolume) -> None:
        self._volume = volume
        mask = volume.kind.end_of_chain
        self._used = bytearray()
        for page in volume.table():
            self._used += bytes(1 if value & mask else 0 for value in page)
        self._used[:FIRST_CLUSTER] = b"\1" * FIRST_CLUSTER
        self.clusters = self._used.count(0)  # that are free
        self.next_free = self._used.find(0)  # the first behind the last that was claimed; -1: none

    def release(self, first: int, length: int) -> None:
        """Make clusters free."""
        self._used[first : first + length] = bytes(length)
        self.clusters += length

    def claim(self, size: int, where: str) -> list[Run]:
        """Clusters for `size` bytes, contiguous if there is such a gap.

        A large file begins where it is copied fastest, as in a new image. Raises
        DoesNotFitError.
        """
        cluster_size = self._volume.boot.cluster_size
        count = -(-size // cluster_size)
        if count > self.clusters:
            raise DoesNotFitError(
                f"does not fit: it needs {count * cluster_size} bytes, but"
                f" {self.clusters * cluster_size} are free",
                where=where,
                hint="remove files with `zpp-image rm`, or make a larger image",
            )
        first = self._used.find(bytes(count), FIRST_CLUSTER)
        if first < 0:
            return self._scattered(count)
        if size >= LARGE:
            gap, rest = divmod(-self._volume.offset(first) % LARGE_UNIT, cluster_size)
            if not rest and self._used[first : first + count + gap] == bytes(count + gap):
                first += gap
        self._take(first, count)
        return [(first, count)]

    def _scattered(self, count: int) -> list[Run]:
        """The first free clusters, wherever they are."""
        runs = []
        first = FIRST_CLUSTER
        while count:
            first = self._used.find(0, first)
            end = self._used.find(1, first)
            length = min(count, (len(self._used) if end < 0 else end) - first)
            self._take(first, length)
            runs.append((first, length))
            count -= length
        return runs

    def _take(self, first: int, length: int) -> None:
        self._used[first : first + length] = b"\1" * length
        self.clusters -= length
        following = self._used.find(0, first + length)
        self.next_free = following if following >= 0 else self._used.find(0)

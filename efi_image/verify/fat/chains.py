"""Cluster chains: each is followed once, and its faults are reported."""

from __future__ import annotations

from dataclasses import dataclass

from efi_image.formats.fat.geometry import FIRST_CLUSTER
from efi_image.formats.fat.reader import ChainFault, FatVolume
from efi_image.verify.context import CheckContext

CODES = {
    ChainFault.OUTSIDE: "F206",
    ChainFault.LOOP: "F207",
    ChainFault.FREE: "F209",
    ChainFault.BAD: "F210",
}
MAX_CLUSTERS = 1 << 26  # a byte of memory each


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; `length` is in clusters, `complete` if it could be followed to its end."""

    first: int
    length: int
    complete: bool


class Chains:
    """The clusters of a volume, and whether a chain claims each (`claimed`)."""

    def __init__(self, context: CheckContext, volume: FatVolume) -> None:
        self._context = context
        self._volume = volume
        self.claimed = bytearray(volume.last_cluster + 1)

    def entry_offset(self, cluster: int) -> int:
        """The byte offset on the volume of a cluster's entry in the first FAT."""
        boot = self._volume.boot
        return boot.reserved * boot.sector_size + cluster * self._volume.kind.value // 8

    def claim(self, first: int, path: str) -> Chain:
        """Follow the chain of the file `path` from an existing cluster; reports its faults."""
        volume, claimed = self._volume, self.claimed
        value = volume.entry(first)
        if value == 0 or volume.is_bad(value):
            code, state = ("F210", "marked bad") if value else ("F209", "free")
            reason = f"its first cluster, {first}, is {state}"
            self._context.add(code, reason, self.entry_offset(first), path)
            return Chain(first, 0, False)
        if claimed[first]:
            self._crossing(first, path)
            return Chain(first, 0, False)
        cluster, length = first, 0
        mask, per_page, last = volume.kind.end_of_chain, volume.page_entries, volume.last_cluster
        number, page = -1, volume.page(0)
        while True:
            claimed[cluster] = 1
            length += 1
            if cluster // per_page != number:
                number = cluster // per_page
                page = volume.page(number)
            following = page[cluster % per_page] & mask
            if not FIRST_CLUSTER <= following <= last:
                break
            if claimed[following]:
                if self._is_own(first, length, following):
                    self._fault(ChainFault.LOOP, cluster, following, path)
                else:
                    self._crossing(following, path)
                return Chain(first, length, False)
            cluster = following
        if volume.is_end(following):
            return Chain(first, length, True)
        fault = ChainFault.FREE if following == 0 else ChainFault.OUTSIDE
        if volume.is_bad(following):
            fault = ChainFault.BAD
        self._fault(fault, cluster, following, path)
        return Chain(first, length, False)

    def _is_own(self, first: int, length: int, wanted: int) -> bool:
        cluster = first
        for _ in range(length):
            if cluster == wanted:
                return True
            cluster = self._volume.entry(cluster)
        return False

    def _crossing(self, cluster: int, path: str) -> None:
        reason = f"cluster {cluster} is also in another chain"
        self._context.add("F208", reason, self.entry_offset(cluster), path)

    def _fault(self, fault: ChainFault, cluster: int, following: int, path: str) -> None:
        reason = f"after cluster {cluster} (of {self._volume.clusters}) follows {following:#x}"
        self._context.add(CODES[fault], reason, self.entry_offset(cluster), path)

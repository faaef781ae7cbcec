"""The reader of exit counters, on handmade memory: it must not mistake other data for counters."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import pytest
from counters import VERSION, NoCounters, exits

PAGE = 4096
FIRST_BLOCK = 16


def boot_info(cpus: int, ranges: list[tuple[int, int]], version: int = VERSION) -> bytes:
    size = 160 + 64 * 16
    head = struct.pack("<8sIIII9QHB5x56x", b"zpp-Boot", version, size, cpus, len(ranges),
                       *(0, 0, FIRST_BLOCK, 0, 0, 0, 0, 0, 0), 0x3F8, 0)  # fmt: skip
    return head + b"".join(struct.pack("<QQ", *entry) for entry in ranges)


def vcpu(index: int, counts: dict[int, int], *, launched: bool = True) -> bytes:
    exits_of = [counts.get(reason, 0) for reason in range(192)]
    return struct.pack("<I4x?31x192Q", index, launched, *exits_of)


def memory(path: Path, pages: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(128 * PAGE)
        for number, content in pages.items():
            file.seek(number * PAGE)
            file.write(content)
    return path


# the core's pages 0 to 15 are at 64, its page 16 and the following at 8
RANGES = [(64 * PAGE, 16), (8 * PAGE, 40)]


def test_version_is_the_contract_s() -> None:
    header = Path(__file__).parents[2] / "hypervisor/include/zpp/boot_info.h"
    assert f"#define ZPP_BOOT_INFO_VERSION {VERSION}u\n" in header.read_text()


def test_counters_of_all_cpus_are_added(tmp_path: Path) -> None:
    pages = {
        3: boot_info(2, RANGES, version=2),
        66: boot_info(2, RANGES),
        8: vcpu(0, {0x72: 5, 0x81: 3, 0xA8: 7}),
        24: vcpu(1, {0x72: 6, 0x81: 1, 0x99: 2}),
    }
    assert exits(memory(tmp_path / "ram", pages), 2) == Counter(
        {"CPUID": 11, "VMMCALL": 4, "nested page fault": 7, "reason 0x99": 2}
    )


@pytest.mark.parametrize(
    "last", [vcpu(0, {0x81: 1}), vcpu(1, {}), vcpu(1, {0x81: 1}, launched=False), b""]
)
def test_other_pages_are_refused(tmp_path: Path, last: bytes) -> None:
    pages = {66: boot_info(2, RANGES), 8: vcpu(0, {0x81: 1}), 24: last}
    with pytest.raises(NoCounters, match="CPU 1"):
        exits(memory(tmp_path / "ram", pages), 2)


def test_no_core(tmp_path: Path) -> None:
    with pytest.raises(NoCounters, match="not in the machine's memory"):
        exits(memory(tmp_path / "ram", {66: boot_info(4, RANGES)}), 2)

"""Linux loads a microcode update on zpp. The update has no content, and the emulator no microcode:
what is tested is that it reaches each CPU (of the checks: tests/host/test_microcode.cpp)."""

from __future__ import annotations

import re
import struct

import cpio
from harness import CMDLINE, HASWELL, Harness, Pc

PC = Pc(HASWELL, 2)
SIGNATURE, PLATFORM = 0x306C3, 0
SIZE, HEADER_SIZE = 0x6000, 48  # several pages


def update(revision: int) -> bytes:
    """An update in Intel's form (SDM Vol. 3A, "Microcode Update")."""
    content = bytes(range(256)) * (SIZE // 256)
    fields = [1, revision, 0x11292026, SIGNATURE, 0, 1, 1 << PLATFORM, SIZE - HEADER_SIZE, SIZE]
    words = [*fields, 0, 0, 0, *struct.unpack(f"<{SIZE // 4 - 12}I", content[HEADER_SIZE:])]
    words[4] = -sum(words) & 0xFFFF_FFFF
    return struct.pack(f"<{SIZE // 4}I", *words)


def test_linux_loads_microcode_on_each_cpu(harness: Harness) -> None:
    """The newest kernel: Debian's small one of 6.1 has no loader."""
    folders = ("kernel", "kernel/x86", "kernel/x86/microcode")
    entries = [*map(cpio.directory, folders),
               cpio.file("kernel/x86/microcode/GenuineIntel.bin", update(0x42))]  # fmt: skip
    initrd = harness.folder / "initrd.img"
    guest = harness.build_directory / "linux-guest/initrd.img"
    initrd.write_bytes(cpio.archive(entries) + guest.read_bytes())
    image = harness.image(
        kernel=harness.build_directory / "linux-loader/newest/vmlinuz",
        initrd=initrd,
        cmdline=f"{CMDLINE} no_timer_check zpp.offline=0",
    )
    serial = harness.run_to_power_off(harness.request(PC, image))
    passed = re.findall(r"^zpp: CPU (\d+): microcode update passed to the CPU$", serial, re.M)
    assert {int(cpu) for cpu in passed} == set(range(PC.cpus))
    assert "microcode update ignored" not in serial
    assert "zpp-guest: done" in serial

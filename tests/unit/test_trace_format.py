"""The format of traces, and faults in trace files.

Oracle: the packets of vm_traces.py, which are packed by the description, not by the tool.
"""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path

import pytest
import vm_traces
from hypothesis import given
from hypothesis import strategies as st
from vm_traces import PACKETS, TSC, head, sealed, start, vm_exit, write

from efi_image.errors import ExitCode, InputError
from efi_image.formats.vm_trace import PacketStream, TraceStart, Vendor, VmExit, header, read_trace

HEADER = Path(__file__).parents[2] / "hypervisor/include/zpp/trace.h"


def test_a_trace_is_read(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path / "t"))
    assert trace.start == TraceStart(Vendor.VTX, "0.1.2", 2, TSC, vm_traces.HZ,
                                     vm_traces.BUILD_ID.hex())  # fmt: skip
    exits = list(trace.exits())
    assert [(e.cpu, e.reason, e.ticks) for e in exits] == [
        (0, 10, 0), (1, 10, 500_000), (0, 10, 500_000), (0, 31, 1_000_000), (1, 48, 1_500_000),
        (0, 18, 2_000_000),
    ]  # fmt: skip
    assert exits[4] == VmExit(1, 1_500_000, 48, 2, 0x4000, 0x10, 4, 0, 0xFEE00300, 0)
    wrmsr = vm_exit(32, rax=0xFFFFFFFF_00000012, ecx=0x79, edx=0x34)
    (found,) = read_trace(write(tmp_path / "t", (wrmsr,))).exits()
    assert (found.eax, found.ecx, found.edx_eax) == (0x12, 0x79, 0x34_0000_0012)


def test_what_the_tool_packs_is_what_the_core_packs() -> None:
    assert header(7, 8) == head(7, 8)
    assert TraceStart(Vendor.AMDV, "0.1.2", 3, 4, 5, vm_traces.BUILD_ID.hex()).pack() == start(
        vm_traces.AMDV, 3, 4, 5
    )
    exit_ = VmExit(1, 9, 0x72, 2, 3, 0x10, 4, 0, 5, 6 | 7 << 32)
    assert exit_.pack(TSC) == vm_exit(0x72, 1, 9, qualification=2, rip=3, rax=5, ecx=6, edx=7)


def test_offsets_are_those_of_the_core_s_header() -> None:
    sizes = {"uint8_t": 1, "uint16_t": 2, "uint32_t": 4, "uint64_t": 8, "struct zpp_trace_head": 4}
    structures = dict(re.findall(r"^struct (\w+) \{(.*?)^\};", HEADER.read_text(), re.M | re.S))
    fields = re.findall(r"^    (struct \w+|\w+) (\w+)(?:\[(\d+)\])?;", structures["zpp_trace_exit"],
                        re.M)  # fmt: skip
    lengths = [sizes[kind] * int(count or 1) for kind, _, count in fields]
    offsets = dict(zip((name for _, name, _ in fields), accumulate([0, *lengths]), strict=False))
    assert (sum(lengths), offsets["reason"], offsets["tsc"]) == (56, 8, 16)
    assert (offsets["rip"], offsets["qualification"], offsets["operands"]) == (24, 32, 40)


@pytest.mark.parametrize(("tsc", "ticks"), [(100, [0, 10, 10, 15]), (TSC + 30, [0, 10, 30, 35])])
def test_time_goes_on_after_a_reset(tmp_path: Path, tsc: int, ticks: list[int]) -> None:
    """The TSC may start again at 0, or not."""
    again = [vm_exit(10, ticks=tsc - TSC + later) for later in (0, 5)]
    packets = (vm_exit(10), vm_exit(10, ticks=10), start(tsc=tsc), *again)
    assert [e.ticks for e in read_trace(write(tmp_path / "t", packets)).exits()] == ticks


def whole() -> bytes:
    return head() + start() + b"".join(PACKETS)


FAULTS = {
    "empty": (b"", "is not a zpp trace"),
    "text": (b"hello, this is a file with text in it\n" * 3, "is not a zpp trace"),
    "cut in the header": (whole()[:20], "is truncated in its header, at byte 20"),
    "header alone": (head(), "has no packets: zpp did not start in that run"),
    "cut in the first packet": (whole()[:60], "is truncated in packet 0, which has 28 of 56 bytes"),
    "cut in a packet": (whole()[:-1], "is truncated in packet 6, which has 55 of 56 bytes"),
    "another version": (
        b"zppTrace\x02" + whole()[9:], "is a trace of version 2; this zpp-image reads version 1"
    ),
    "no start packet": (head() + PACKETS[0], "does not begin with a start packet"),
    "another core": (head() + start(version=2), "the core writes version 2 of the trace"),
    "unknown vendor": (head() + start(vendor=3), "has a start packet that is not valid"),
    "no CPUs": (head() + start(cpus=0), "has a start packet that is not valid: 0 CPUs"),
    "too many CPUs": (head() + start(cpus=1 << 31), "has a start packet that is not valid"),
    "damaged": (
        whole()[:-1] + bytes([whole()[-1] ^ 1]), "packet 6 at byte 368 is damaged"
    ),
    "no such CPU": (head() + start(cpus=1) + PACKETS[1], "has an exit of CPU 1 in mode 4"),
    "no such mode": (head() + start() + vm_exit(10, mode=5), "has an exit of CPU 0 in mode 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults_in_a_file(tmp_path: Path, name: str) -> None:
    data, words = FAULTS[name]
    path = tmp_path / "t"
    path.write_bytes(data)
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        list(read_trace(path).exits())
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.exit_code is ExitCode.INPUT


# ---- the debug port's bytes


@given(st.lists(st.integers(1, 200), max_size=20), st.binary(max_size=80), st.binary(max_size=80))
def test_packets_are_found_in_pieces_and_among_other_bytes(
    cuts: list[int], before: bytes, between: bytes
) -> None:
    data = before + start() + PACKETS[0] + between + b"".join(PACKETS[1:])
    stream = PacketStream()
    found: list[bytes] = []
    for cut in [*cuts, len(data)]:
        found += stream.feed(data[:cut])
        data = data[cut:]
    assert found == [start(), *PACKETS]
    assert stream.skipped == len(before) + len(between)


def test_exits_before_the_start_are_not_packets() -> None:
    stream = PacketStream()
    assert list(stream.feed(PACKETS[0] + start() + PACKETS[1])) == [start(), PACKETS[1]]
    assert stream.skipped == 56


def test_a_damaged_packet_does_not_take_the_next_with_it() -> None:
    damaged = PACKETS[0][:30] + b"\xff" + PACKETS[0][31:]
    assert sealed(damaged) != damaged
    assert list(PacketStream().feed(start() + damaged + PACKETS[1])) == [start(), PACKETS[1]]

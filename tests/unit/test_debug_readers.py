"""What gdb's commands read: the core's ELF image, its layout, its nested page tables."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zpp_debug import elf
from zpp_debug.elf import NoCore, Read
from zpp_debug.layout import BOOT_INFO_SIZE, CORE_BASE, VERSION, Layout
from zpp_debug.nested import Kind, walk

BASE = CORE_BASE
BUILD = bytes(range(20))
PAGES = 6


def image(build: bytes = BUILD, *, segments: int = 3) -> bytes:
    """An ELF file of 6 pages: notes in the first, code from the second to the fourth."""
    note = struct.pack("<III", 4, len(build), 3) + b"GNU\0" + build
    table = [
        (1, 4, 0, 0, 0, 0x600, 0x600, 0x1000),
        (4, 4, 0x400, 0x400, 0x400, len(note), len(note), 4),
        (1, 5, 0x1000, 0x1000, 0x1000, 0x3000, 0x4F00, 0x1000),
    ][:segments]
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0x1000, 64, 0, 0, 64,
                         56, len(table), 0, 0, 0)  # fmt: skip
    body = header + b"".join(struct.pack("<IIQQQQQQ", *segment) for segment in table)
    return (body.ljust(0x400, b"\0") + note).ljust(PAGES * elf.PAGE, b"\xcc")


def memory(content: bytes, base: int = BASE) -> Read:
    def read(address: int, size: int) -> bytes:
        if not base <= address <= address + size <= base + len(content):
            raise LookupError
        return content[address - base : address - base + size]

    return read


@pytest.mark.parametrize("offset", [0, 0x1000, 0x1234, 0x5EFF])
def test_header_is_found_from_any_place_in_the_image(offset: int) -> None:
    assert elf.find_base(memory(image()), BASE + offset) == BASE


@pytest.mark.parametrize(
    ("content", "address", "why"),
    [
        (b"\xcc" * 2 * elf.PAGE, BASE + 0x1008, "is not mapped"),
        (b"\xcc" * 300 * elf.PAGE, BASE + 299 * elf.PAGE, "no ELF header in the 256 pages"),
        (image() + b"\xcc" * elf.PAGE, BASE + PAGES * elf.PAGE, "ends before it"),
        (image(), 0x7FFF0000, "is not mapped"),
        (image(), 0x10, "is not mapped"),
    ],
)
def test_instruction_pointer_outside_of_the_core(content: bytes, address: int, why: str) -> None:
    with pytest.raises(NoCore, match=f"instruction pointer {address:#x} is not in the core.*{why}"):
        elf.find_base(memory(content), address)


def test_build_id_and_code() -> None:
    assert elf.build_id(memory(image()), BASE) == BUILD.hex()
    assert elf.code_range(memory(image(), 0)) == (0x1000, 0x5F00)
    assert elf.image_size(memory(image()), BASE) == PAGES * elf.PAGE


def test_another_build_is_named(tmp_path: Path) -> None:
    file = tmp_path / "hypervisor.debug.elf"
    file.write_bytes(image())
    elf.check_build(memory(image()), BASE, file)
    with pytest.raises(NoCore, match=r"is build ffff.*are build 000102"):
        elf.check_build(memory(image(b"\xff" * 20)), BASE, file)
    with pytest.raises(NoCore, match="has no build ID"):
        elf.check_build(memory(image(segments=1)), BASE, file)


@pytest.mark.parametrize("content", [b"", b"text", image(segments=1)])
def test_file_without_symbols(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(NoCore, match="no symbols of a core"):
        elf.check_build(memory(image()), BASE, file)


def test_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NoCore, match=r"missing cannot be read \(No such file"):
        elf.check_build(memory(image()), BASE, tmp_path / "missing")


@given(st.binary(max_size=600))
def test_any_bytes_give_an_answer_or_no_core(data: bytes) -> None:
    for content in (data, image()[:64] + data, image()[:0x400] + data):
        for function in (elf.build_id, elf.image_size):
            with contextlib.suppress(NoCore):
                function(memory(content), BASE)


def boot_info(ranges: list[tuple[int, int]]) -> bytes:
    head = struct.pack("<8sIIII6Q3QHB5x56x", b"zpp-Boot", VERSION, BOOT_INFO_SIZE, 2, len(ranges),
                       22, 4, 32, 64, 65, 12, 0, 0, 0, 0x3F8, 1)  # fmt: skip
    return (head + b"".join(struct.pack("<QQ", *entry) for entry in ranges)).ljust(
        BOOT_INFO_SIZE, b"\0"
    )


def test_version_is_the_contract_s() -> None:
    header = Path(__file__).parents[2] / "hypervisor/include/zpp/boot_info.h"
    assert f"#define ZPP_BOOT_INFO_VERSION {VERSION}u\n" in header.read_text()


def test_layout_translates_both_ways() -> None:
    layout = Layout.parse(boot_info([(0x100000, 3), (0x40000, 62)]))
    assert layout.vcpu(1) == CORE_BASE + 48 * 4096
    for virtual, physical in ((0, 0x100000), (0x2FFF, 0x102FFF), (0x3000, 0x40000)):
        assert layout.physical_of(CORE_BASE + virtual) == physical
        assert layout.virtual_of(physical) == CORE_BASE + virtual
    for address in (CORE_BASE - 1, CORE_BASE + 65 * 4096, 0):
        with pytest.raises(LookupError):
            layout.physical_of(address)
    with pytest.raises(LookupError):
        layout.virtual_of(0x103000)


@given(st.binary(max_size=BOOT_INFO_SIZE + 8))
def test_layout_of_any_bytes(data: bytes) -> None:
    with pytest.raises(ValueError, match="boot_info"):
        Layout.parse(data)


def test_npt_walk() -> None:
    tables = {0x1000: 0x2007, 0x2018: 0x3007, 0x3000 + 503 * 8: 0x4007, 0x4000: 0xFEE00005}
    steps = list(walk(Kind.NPT, 0x1000, 4, 0xFEE00020, tables.__getitem__))
    assert [(s.level, s.index) for s in steps] == [(4, 0), (3, 3), (2, 503), (1, 0)]
    assert (steps[-1].leaf, steps[-1].target, steps[-1].access) == (True, 0xFEE00020, "r-x")


def test_ept_walk_ends_at_a_large_page() -> None:
    tables = {0x1000: 0x2007, 0x2008: 0x40000000 | 0x80 | 6 << 3 | 7}
    steps = list(walk(Kind.EPT, 0x1000, 4, 0x40123456, tables.__getitem__))
    assert (steps[-1].level, steps[-1].target) == (3, 0x40123456)
    assert steps[-1].access == "rwx WB"


@pytest.mark.parametrize("kind", Kind)
def test_walk_ends_where_nothing_is_mapped(kind: Kind) -> None:
    steps = list(walk(kind, 0x1000, 5, 1 << 50, lambda _address: 0))
    assert [(s.level, s.index, s.target) for s in steps] == [(5, 4, None)]

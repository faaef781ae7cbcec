"""Machine checks under zpp on QEMU: gdb stops the CPU, and the monitor raises one there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import lief
import pytest
from gdb_session import Session
from harness import EPYC, Harness, qemu_pc

PC = qemu_pc(EPYC, 1)
CORE_BASE = 0xFFFFA00000000000
WINDOW = bytes.fromhex("0f01dc90900f01dd")  # stgi; nop; nop; clgi
CLGI = 5  # its place in the window: GIF is set there
WAITING = "waiting for a machine check"
BANK, STATUS, ADDRESS = 1, 0xBE00000000000135, 0x1234000  # uncorrected, with an address
RIPV, EIPV, MCIP = 1, 2, 4
NOTED = re.compile(r"^zpp: CPU 0: machine check in the host, MCG_STATUS (\w+)$", re.MULTILINE)
BANK_LINE = f"zpp:   bank {BANK} status {STATUS:x} address {ADDRESS:x}\n"


def windows(symbols: Path) -> list[int]:
    """Addresses in the exit handler at which the host takes events."""
    binary = lief.ELF.parse(symbols)
    assert binary
    handler = next(s for s in binary.symbols if s.demangled_name == "zpp_svm_on_exit")
    code = bytes(binary.get_content_from_virtual_address(handler.value, handler.size))
    starts = [m.start() for m in re.finditer(re.escape(WINDOW), code)]
    assert starts
    return [CORE_BASE + handler.value + start + CLGI for start in starts]


def raise_in(
    harness: Harness, *, host: bool, mcg_status: int, words: str = "machine-check=1", expect: str
) -> str:
    """Raises a machine check in the host's window or in the guest; returns the serial log."""
    program = harness.build_directory / "ZppGuestTest.efi"
    image = harness.image(kernel=program, cmdline=f"expect=amdv cpus=1 {words}", reset_after=1)
    request = replace(harness.request(PC, image), expect=(expect,))
    session = Session(harness, request)
    places = windows(harness.build_directory / "hypervisor.debug.elf") if host else []
    stop = [*(f"hbreak *{place:#x}" for place in places), "continue", "print/x $pc"]
    mce = f"monitor mce 0 {BANK} {STATUS:#x} {mcg_status:#x} {ADDRESS:#x} 0"
    output = session.gdb(*(stop if host else []), mce, "delete", "detach", when=WAITING)
    if host:
        assert int(output.first("print/x $pc").split(" = ")[1], 16) in places
    assert output.first(mce) == ""
    return session.finish()


def test_in_the_host_it_reaches_the_guest(harness: Harness) -> None:
    serial = raise_in(harness, host=True, mcg_status=RIPV | MCIP, expect=r"^ZPP-TEST: \w+")
    assert "ZPP-TEST: PASS" in serial, serial
    assert NOTED.findall(serial) == ["5"]
    assert BANK_LINE in serial


def test_in_the_guest_the_cpu_delivers_it(harness: Harness) -> None:
    words = "machine-check=3"  # the guest sends no NMIs, so the host takes nothing
    serial = raise_in(
        harness, host=False, mcg_status=RIPV | MCIP, words=words, expect=r"^ZPP-TEST: \w+"
    )
    assert "ZPP-TEST: PASS" in serial, serial
    assert not NOTED.search(serial)


@pytest.mark.parametrize("mcg_status", [MCIP, EIPV | MCIP])
def test_without_ripv_the_host_ends(harness: Harness, mcg_status: int) -> None:
    serial = raise_in(harness, host=True, mcg_status=mcg_status, expect="zpp: reset in 1 s")
    assert "zpp: CPU 0: exception 18 in the host, error code 0" in serial
    assert NOTED.findall(serial) == [f"{mcg_status:x}"]
    assert BANK_LINE in serial


def test_without_mce_the_cpu_shuts_down(harness: Harness) -> None:
    again = r"CR4.MCE is 0: shutdown(?s:.*)BdsDxe: starting"
    words = "machine-check=2"
    serial = raise_in(harness, host=True, mcg_status=RIPV | MCIP, words=words, expect=again)
    assert NOTED.findall(serial) == ["5"]
    assert "report of build" not in serial

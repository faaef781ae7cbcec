"""Crash reports of a core that is broken on purpose: they must lead to the source lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copy

import lief
import pytest
from harness import CMDLINE, EPYC, HASWELL, RYZEN, Harness, Pc, qemu_pc

from efi_image.config.environment import load
from efi_image.debug.symbolize import build_id, symbolize

PCS = (qemu_pc(EPYC, 1), Pc(HASWELL, 1))
MANY = (qemu_pc(EPYC, 4), Pc(HASWELL, 4), Pc(RYZEN, 4, vendor="AMD-V"))
FRAME_SETUP = b"\x48\x89\xe5"  # mov %rsp, %rbp
UD2 = b"\x0f\x0b"
PROLOGUE_MAX = 32


def address_of(symbols: Path, function: str) -> int:
    """Where a function is in the core's file."""
    binary = lief.ELF.parse(symbols)
    assert binary
    address = next(s.value for s in binary.symbols if function in s.demangled_name)
    start = binary.virtual_address_to_offset(address)
    assert isinstance(start, int)
    return start


def with_ud2(core: bytes, symbols: Path, function: str) -> bytes:
    """The core with an undefined instruction after the function's prologue."""
    start = address_of(symbols, function)
    place = core.index(FRAME_SETUP, start, start + PROLOGUE_MAX) + len(FRAME_SETUP)
    return core[:place] + UD2 + core[place + len(UD2) :]


def with_other_field(core: bytes, symbols: Path, function: str) -> bytes:
    """The core that writes to another field than the VMCS link pointer, whose 0 is not valid."""
    link_pointer, guest_debug_control = b"\xb9\x00\x28\x00\x00", b"\xb9\x02\x28\x00\x00"
    place = core.index(link_pointer, address_of(symbols, function))
    return core[:place] + guest_debug_control + core[place + len(link_pointer) :]


Break = Callable[[bytes, Path, str], bytes]


def broken_harness(harness: Harness, function: str, broken_by: Break = with_ud2) -> Harness:
    """A harness for a build whose core is broken in a function."""
    folder = harness.folder / "broken"
    folder.mkdir()
    core = (harness.build_directory / "hypervisor.elf").read_bytes()
    symbols = harness.build_directory / "hypervisor.debug.elf"
    driver = (harness.build_directory / "ZppDxe.efi").read_bytes()
    assert driver.count(core) == 1
    broken = driver.replace(core, broken_by(core, symbols, function))
    (folder / "ZppDxe.efi").write_bytes(broken)
    copy(harness.build_directory / "ZppBoot.efi", folder)
    return replace(harness, build_directory=folder)


@pytest.mark.parametrize("pc", PCS, ids=str)
def test_report_leads_to_the_source(harness: Harness, pc: Pc) -> None:
    broken = broken_harness(harness, "zpp::emulate_cpuid(")  # a CPUID whose result changes
    image = broken.program_image(harness.build_directory / "ZppBoot.efi")
    request = replace(harness.request(pc, image), expect=(r"^zpp: CPU 0 stopped$",))
    serial = harness.boot(request, pc.emulator).serial
    config = load()
    symbols = harness.build_directory / "hypervisor.debug.elf"
    assert f"zpp: crash report of build {build_id(symbols)[:12]}\n" in serial
    lines = list(symbolize(serial, symbols, config.toolchain / "llvm-symbolizer"))
    start = next(i for i, line in enumerate(lines) if "exception 6 in the host" in line)
    places = [line.strip() for line in lines[start:] if line.startswith("      ")]
    vendor = "svm" if pc.vendor == "AMD-V" else "vmx"
    assert places[0].startswith("zpp::emulate_cpuid(zpp::GuestRegisters&, ")
    assert " at src/emulate/cpuid.cpp:" in places[0]
    assert any(p.startswith(f"zpp_{vendor}_on_exit at src/{vendor}/exit.cpp:") for p in places)
    assert any(f" at src/{vendor}/entry.S:" in place for place in places)
    exits = [line for line in lines[start:] if line.startswith("zpp:   exit ")]
    assert exits
    assert all(re.fullmatch(r"zpp:   exit \d+ \([^?]+\) at rip \w+", e) for e in exits)
    assert re.search(r"exit (114|10) \(CPUID\) at rip", exits[-1])


def crash(harness: Harness, pc: Pc, function: str, seconds: int, *expect: str) -> str:
    """Boots a core that crashes in a function; returns the serial log."""
    image = broken_harness(harness, function).image(
        kernel=harness.build_directory / "ZppBoot.efi", reset_after=seconds
    )
    return harness.boot(replace(harness.request(pc, image), expect=expect), pc.emulator).serial


@pytest.mark.parametrize("pc", MANY, ids=str)
def test_all_cpus_stop_and_the_machine_resets(harness: Harness, pc: Pc) -> None:
    # Only the BSP commits; the others run the firmware's waiting loop as guests.
    again = r"zpp: reset in 1 s(?s:.*)virtualized with"
    serial = crash(harness, pc, "zpp::unmap(", 1, again)
    first = serial.split("zpp: reset in 1 s")[0]
    assert first.count("exception 6 in the host") == 1
    for cpu in range(pc.cpus):
        assert f"zpp: CPU {cpu} stopped\n" in first
    assert "does not stop" not in first
    assert serial.count("virtualized with") > pc.cpus - 1


@pytest.mark.parametrize("pc", MANY[:2], ids=str)
def test_several_cpus_crash_and_report(harness: Harness, pc: Pc) -> None:
    # ExitBootServices() sends INIT to all of the firmware's waiting CPUs at once.
    broken = broken_harness(harness, "zpp::reset_apic(")
    guest = harness.build_directory / "linux-guest"
    image = broken.image(
        kernel=guest / "vmlinuz", initrd=guest / "initrd.img", cmdline=CMDLINE, reset_after=1
    )
    again = r"zpp: reset in 1 s(?s:.*)virtualized with"
    serial = harness.boot(replace(harness.request(pc, image), expect=(again,)), pc.emulator).serial
    first = serial.split("zpp: reset in 1 s")[0]
    assert first.count("virtualized with") == pc.cpus
    assert 1 <= first.count("exception 6 in the host") < pc.cpus
    assert first.count("zpp: crash report of build") == first.count("exception 6 in the host")
    assert serial.count("zpp: reset in 1 s") == 1


@pytest.mark.parametrize("pc", MANY[:2], ids=str)
def test_machine_stays_stopped(harness: Harness, pc: Pc) -> None:
    serial = crash(harness, pc, "zpp::unmap(", 0, r"stays as it is \(reset-after = 0\)")
    assert "reset in" not in serial


@pytest.mark.parametrize("pc", [qemu_pc(EPYC, 4)], ids=str)
def test_crash_in_the_log_resets_the_machine(harness: Harness, pc: Pc) -> None:
    # The holder of the log's lock crashes, and again in its report: nothing is left to say. A core
    # that has not said anything is started a second time.
    starts = r"BdsDxe: starting(?s:.*)BdsDxe: starting"
    serial = crash(harness, pc, "zpp::format(", 1, starts)
    assert "virtualized with" not in serial


@pytest.mark.parametrize("pc", [qemu_pc(EPYC, 2), Pc(HASWELL, 2)], ids=str)
def test_restart_by_triple_fault_is_no_crash(harness: Harness, pc: Pc) -> None:
    """Linux's reboot=triple."""
    image = harness.linux_image("zpp.action=reboot zpp.offline=0 reboot=triple")
    line = r"^zpp: CPU \d: triple fault in the guest at rip \w+: shutdown$"
    if pc.vendor == "AMD-V":
        serial = harness.run_to_power_off(harness.request(pc, image), pc.emulator)
        assert serial.count("zpp-guest: rebooting") == serial.count("zpp-guest: done") == 1
    else:  # this Bochs stops at a triple fault
        request = replace(harness.request(pc, image), expect=(line,))
        serial = harness.boot(request, pc.emulator).serial
    assert len(re.findall(line, serial, re.MULTILINE)) == 1
    assert "report of build" not in serial


def test_failed_launch_gives_the_cpu_back(harness: Harness) -> None:
    """The first VM entry of each CPU fails for its guest state: the boot continues without zpp."""
    broken = broken_harness(harness, "zpp::vmx::write_guest_state(", with_other_field)
    guest = harness.build_directory / "linux-guest"
    image = broken.image(
        kernel=guest / "vmlinuz", initrd=guest / "initrd.img", cmdline=f"{CMDLINE} zpp.offline=0"
    )
    serial = harness.run_to_power_off(harness.request(Pc(HASWELL, 2), image))
    assert re.search(r"^zpp: no hypervisor: .*the CPU refused the VM entry", serial, re.MULTILINE)
    assert "zpp: crash report of build" not in serial
    assert "virtualized with" not in serial
    assert "zpp-guest: done" in serial

"""What Linux makes of the CPUs: under zpp, which hides, the same as on the bare machine."""

from __future__ import annotations

import re

from harness import Harness, qemu_pc

# not a virtual machine's CPUs, for once
PC = qemu_pc("EPYC,+svm,-hypervisor", 2)

# The lines that may differ, with the reason. Everything else is the same.
REASONS = (
    # zpp's memory is reserved
    r"BIOS-e820: |e820: reserve RAM buffer|  node   0: |On node 0, zone |Memory: |RAMDISK: |"
    r"Built 1 zonelists|PM: hibernation: Registered nosave|efi: (SMBIOS=|Freeing|Remove mem)",
    # the emulator's time, which a busy machine stretches
    r"/proc/cpuinfo: (bogomips|cpu MHz)|/sys/devices/system/clocksource/|.*BogoMIPS|"
    r"calibrate_delay_direct\(\)|"
    r"tsc: |clocksource: |sched_clock: |APIC calibration|APIC delta|hrtimer: |perf: |rcu: |"
    r"TSC |INFO: |workqueue: |node 0 deferred pages|audit: type=2000|random: |"
    r"rtc_cmos .*setting system clock|"
    r"\.\.MP-BIOS bug: 8254 timer|\.\.\.trying to set up timer|\.+ (failed|works)|"
    r"\.\.\.\.\. \(found apic",
    # an interrupt that was under way when Linux reset the local APIC
    r"APIC: Stale IRR",
)
HIDDEN_FLAGS = {"svm", "npt"}  # AMD-V is in use


def shown(harness: Harness, *, hypervisor: bool = True, visible: bool = False) -> set[str]:
    """The lines that the guest shows, without times."""
    words = "zpp.show=1 zpp.offline=0"
    image = harness.linux_image(words, hypervisor=hypervisor, visible=visible)
    serial = harness.run_to_power_off(harness.request(PC, image), PC.emulator)
    lines = re.findall(r"^show: (.*?)\s*$", serial, re.MULTILINE)
    assert len(lines) > 300
    return {re.sub(r"^dmesg: \[ *[0-9.]+\] ", "", line) for line in lines}


def without_reasons(lines: set[str]) -> set[str]:
    return {line for line in lines if not any(re.match(reason, line) for reason in REASONS)}


def flags_of(lines: set[str]) -> tuple[set[str], set[str]]:
    """The flags in /proc/cpuinfo, which are the same for all CPUs, and the other lines."""
    flags = {line for line in lines if line.startswith("/proc/cpuinfo: flags")}
    (line,) = flags
    return set(line.split(": ", 2)[2].split()), lines - flags


def test_linux_finds_the_bare_machine(harness: Harness) -> None:
    bare_flags, bare = flags_of(shown(harness, hypervisor=False))
    flags, lines = flags_of(shown(harness))
    assert bare_flags - flags == HIDDEN_FLAGS
    assert flags - bare_flags == set()
    assert any("/vulnerabilities/" in line for line in bare)
    assert without_reasons(lines) == without_reasons(bare)


def test_linux_finds_a_visible_hypervisor(harness: Harness) -> None:
    """What `visible = on` changes, so the other test can see it."""
    flags, lines = flags_of(shown(harness, visible=True))
    assert "hypervisor" in flags
    assert "cpb" not in flags
    assert any("PMU not available due to virtualization" in line for line in lines)

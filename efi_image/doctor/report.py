"""The texts that `zpp-image doctor` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from efi_image.doctor.machine import Firmware, Machine
from efi_image.doctor.verdict import Check, Verdict


def verdict_line(verdict: Verdict, machine: Machine) -> str:
    """The last line: will zpp run, and if not, why and what usually helps."""
    count = len(machine.cpus)
    cpus = "1 CPU" if count == 1 else f"{count} CPUs"
    if verdict.runs:
        return f"zpp will run here: {verdict.vendor} on {cpus}"
    if verdict.runs is None:
        return f"cannot say whether zpp will run here: the MSRs of CPU {verdict.cpu} are missing"
    reason = f"{verdict.reason} ({verdict.detail})" if verdict.detail else verdict.reason
    fix = f"; to fix it, {verdict.fix}" if verdict.fix else ""
    return f"zpp will not run here: CPU {verdict.cpu}: {reason}{fix}"


def facts(machine: Machine) -> Iterator[tuple[str, str]]:
    """Facts about the machine, as pairs of a title and a text."""
    first = machine.cpus[0]
    words = [f"{len(machine.cpus)} × {first.name or first.vendor or 'unnamed CPU'}"]
    if first.microcode:
        words.append(f"microcode 0x{first.microcode:x}")
    if first.apic:
        words.append(first.apic)
    if first.in_guest:
        words.append("in a virtual machine")
    yield "CPUs", ", ".join(words)
    yield "firmware", firmware_words(machine.firmware)
    bits = first.registers(0x80000008)[0] & 0xFF
    mtrrs = first.msrs.get(0xFE)
    memory = [f"{bits or 36}-bit addresses"]
    if mtrrs is not None:
        memory.append(f"{mtrrs & 0xFF} variable MTRRs")
    ram = sum(r.end + 1 - r.start for r in machine.memory if r.type == "ram")
    if ram:
        memory.append(f"{ram >> 20} MiB of RAM")
    yield "memory", ", ".join(memory)


def firmware_words(firmware: Firmware) -> str:
    """The firmware on one line."""
    words = " ".join(filter(None, (firmware.vendor, firmware.revision))) or "vendor not known"
    kind = (
        "BIOS" if firmware.type == "bios" else f"{firmware.bits}-bit UEFI {firmware.uefi}".strip()
    )
    state = {True: "on", False: "off", None: "not known"}[firmware.secure_boot]
    return f"{words}, {kind}" + (f", Secure Boot {state}" if firmware.type == "uefi" else "")


def notes(machine: Machine, offline: Sequence[int] = (), kvm: bool = False) -> Iterator[str]:
    """Obstacles other than the CPUs, and how to remove them."""
    firmware = machine.firmware
    if firmware.secure_boot:
        yield "Secure Boot is on: sign zpp's programs, or turn it off in the firmware's setup"
    if firmware.type == "bios":
        yield (
            "the machine was booted by a BIOS: zpp's boot media need UEFI; turn legacy boot (CSM) "
            "off in the firmware's setup, or load zpp.ko"
        )
    elif firmware.bits == 32:
        yield "the firmware is a 32-bit UEFI, which cannot start zpp's boot media; load zpp.ko"
    if offline:
        numbers = ", ".join(map(str, offline))
        yield f"not checked, because offline: CPU {numbers}"
    if kvm:
        yield "KVM is loaded: before `insmod zpp.ko`, run `modprobe -r kvm_intel kvm_amd kvm`"


def state_of(check: Check, cpus: int) -> str:
    """`yes`, or the CPUs that lack it."""
    if check.missing:
        return "no" if len(check.missing) == cpus else f"no: CPU {_numbers(check.missing)}"
    if check.unknown:
        return "not known"
    return "yes"


def _numbers(numbers: Sequence[int]) -> str:
    """`0-3,6`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)

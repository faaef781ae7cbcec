"""Draws the pictures of docs/explanation/ as SVG: python3 docs/pictures/draw.py

Standard library only. tests/unit/test_docs_links.py compares the pictures with it.
"""

from __future__ import annotations

from pathlib import Path

from inside import cpu_start, memory, nested_paging
from svg import CORE, FAINT, GUEST, LOADER, PANEL, PLAIN, TOOL, Picture

FOLDER = Path(__file__).resolve().parent


def parts() -> Picture:
    """What zpp is made of, and where each part runs."""
    p = Picture(1000, 620, "The parts of zpp: the tool, the loaders, the core, firmware and guest")
    p.panel((20, 20, 440, 580), "Build machine")
    p.box(
        (40, 60, 400, 64),
        "Sources",
        ["hypervisor/, uefi/, linux/, windows/"],
        fill=PLAIN,
    )
    p.arrow((240, 124), (240, 160))
    p.text(252, 147, "make", anchor="start", colour=FAINT)
    p.box(
        (40, 160, 400, 60),
        "hypervisor.elf",
        ["the core, embedded in each of the loaders"],
        fill=CORE,
    )
    p.arrow((240, 220), (240, 250))
    p.box(
        (40, 250, 400, 60),
        "Loaders",
        ["ZppBoot.efi and ZppDxe.efi, zpp.ko, zpp_loader.sys"],
        fill=LOADER,
    )
    p.arrow((240, 310), (240, 346))
    p.box(
        (40, 346, 400, 110),
        "zpp-image (efi_image/)",
        [
            "make: image with ZppBoot, ZppDxe, zpp.conf, a kernel",
            "verify, inspect, ls, diff: check and explain images",
            "write: image → USB stick, read back",
            "run: image → QEMU or Bochs, with gdb",
        ],
        fill=TOOL,
    )
    p.arrow((240, 456), (240, 506))
    p.box((40, 506, 400, 70), "Boot medium", ["image file, USB stick or optical disc, with an ESP"])

    p.panel((540, 20, 440, 580), "Target machine, real or emulated")
    p.box(
        (560, 54, 400, 70),
        "Guest: the operating system, unmodified",
        ["one vCPU for each CPU", "before the OS starts: the firmware and UEFI programs"],
        fill=GUEST,
    )
    p.arrow((760, 124), (760, 170), both=True)
    p.text(772, 151, "VM exits and VM entries", anchor="start", colour=FAINT, size=12)
    p.box((560, 170, 400, 148), "", fill=CORE)
    p.text(760, 194, "Core: hypervisor.elf", bold=True)
    p.text(760, 212, "in memory that nested paging hides from the guest", size=12)
    # the folders of hypervisor/src, from the top layer to the bottom one
    layers = (("vmx", "svm", "emulate", "apic", "guest"), ("paging", "core", "x86", "lib"))
    for row, names in enumerate(layers):
        for column, name in enumerate(names):
            p.box((570 + column * 77, 226 + row * 44, 72, 34), "")
            p.text(606 + column * 77, 248 + row * 44, f"{name}/")
    p.arrow((760, 364), (760, 318))
    p.text(772, 345, "prepare, launch, commit", anchor="start", colour=FAINT, size=12)
    p.box(
        (560, 364, 400, 104),
        "Loaders: run once, before the launch",
        [
            "UEFI: ZppBoot, which starts ZppDxe",
            "running Linux: zpp.ko",
            "running Windows: zpp_loader.sys",
            "shared by all three: hypervisor/loader/",
        ],
        fill=LOADER,
    )
    p.arrow((760, 500), (760, 468))
    p.text(772, 489, "starts \\EFI\\BOOT\\BOOTX64.EFI", anchor="start", colour=FAINT, size=12)
    p.box((560, 500, 400, 42), "UEFI firmware (OVMF in the emulators)")
    p.box((560, 550, 400, 40), "CPUs with Intel VT-x or AMD-V")
    p.arrow((440, 541), (500, 541), (500, 521), (560, 521))
    return p


LANES = (
    ("Firmware", PLAIN),
    ("ZppBoot", LOADER),
    ("ZppDxe", LOADER),
    ("Core", CORE),
    ("OS on the BSP", GUEST),
    ("APs", GUEST),
)


def boot_flow() -> Picture:
    """From the medium to an operating system that starts its CPUs under the core."""
    lane_width, left, top = 160, 100, 74
    p = Picture(1000, 900, "From the medium to an operating system that runs on the core")
    x = [left + lane_width * n for n in range(len(LANES))]
    bottom = 880
    for place, (name, fill) in zip(x, LANES, strict=True):
        p.box((place - 68, 24, 136, 36), "", fill=fill)
        p.text(place, 47, name, bold=True)
        p.line((place, 60), (place, bottom))
    firmware, boot, dxe, core, system, aps = range(6)

    def message(y: float, start: int, end: int, *words: str) -> None:
        p.label((x[start] + x[end]) / 2, y - 15 * len(words) - 9, words)
        p.arrow((x[start], y), (x[end], y))

    def note(y: float, lane: int, *words: str) -> None:
        fill = LANES[lane][1]
        p.label(x[lane], y, words, fill="#eef1f4" if fill == PLAIN else fill)

    def phase(y: float, words: str) -> None:
        p.elements.append(f'<rect x="16" y="{y}" width="968" height="20" rx="4" fill="{PANEL}"/>')
        p.text(26, y + 15, words, size=12, anchor="start", bold=True, colour=FAINT)

    phase(top, "1  Medium")
    message(top + 64, firmware, boot, "\\EFI\\BOOT\\", "BOOTX64.EFI")
    note(top + 74, boot, "reads zpp.conf,", "loads the OS's program")
    message(top + 140, boot, dxe, "loads and starts")
    note(
        top + 150,
        dxe,
        "counts the CPUs, reserves",
        "memory, places the core,",
        "builds its page tables",
    )

    phase(290, "2  Prepare: once")
    message(342, dxe, core, "PREPARE")
    note(352, core, "checks the CPU,", "builds nested paging")

    phase(404, "3  Launch: on each CPU; the BSP first, then all APs at once")
    message(456, dxe, core, "LAUNCH on a CPU")
    note(466, core, "VM entry: the caller", "continues as a guest")
    p.label(
        830,
        432,
        (
            "If one CPU fails, all launched CPUs are",
            "devirtualized, the memory is freed, and",
            "the boot continues without the hypervisor.",
        ),
        fill="#fbe3e1",
    )

    phase(518, "4  Commit: once, the point of no return")
    message(570, dxe, core, "COMMIT (hypercall)")
    note(580, core, "refuses to leave", "from now on")
    message(630, dxe, boot, "returns")
    p.arrow((x[boot], 664), (x[system], 664))
    p.label((x[boot] + x[system]) / 2 - 40, 636, ("starts the OS, which runs as a guest",))

    phase(676, "5  The operating system starts its other CPUs")
    message(728, system, core, "INIT, SIPI for an AP")
    note(
        738,
        core,
        "VT-x: a VM exit on the AP",
        "AMD-V: the trapped write to",
        "the interrupt command",
        "register, then an NMI",
    )
    p.arrow((x[core], 828), (x[aps], 828))
    p.label((x[core] + x[aps]) / 2 + 56, 802, ("the AP starts at the SIPI's vector",))
    p.arrow((x[system], 868), (x[core], 868), both=True)
    p.label((x[system] + x[core]) / 2, 840, ("VM exits and entries",))
    return p


PICTURES = {
    "parts.svg": parts,
    "boot-flow.svg": boot_flow,
    "nested-paging.svg": nested_paging,
    "cpu-start.svg": cpu_start,
    "memory.svg": memory,
}


def main() -> None:
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    main()

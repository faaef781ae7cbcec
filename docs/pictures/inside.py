"""Pictures of the inside of the core; draw.py writes them."""

from __future__ import annotations

from svg import CORE, FAINT, GUEST, PANEL, PLAIN, Picture

REFUSED = "#fbe3e1"


def nested_paging() -> Picture:
    """Where guest-physical addresses lead, and with which memory type."""
    p = Picture(1000, 560, "Nested paging: where guest-physical addresses lead")
    p.text(180, 40, "Guest-physical", size=15, bold=True)
    p.text(780, 40, "Host-physical", size=15, bold=True)
    rows = (
        # y, height, guest, host, what the arrow says, fills
        (60, 60, "above DRAM: devices", "devices", "unchanged, usually UC", PLAIN, PLAIN),
        (130, 60, "FEE00000H: local APIC", "local APIC",
         "unchanged; read-only while the core must see the ICR", "#fde9c8", PLAIN),
        (200, 80, "DRAM", "DRAM", "unchanged, with the type of the MTRRs", GUEST, GUEST),
        (290, 60, "DRAM where the core is", "the core's pages", "", REFUSED, CORE),
        (360, 80, "DRAM", "DRAM", "unchanged, with the type of the MTRRs", GUEST, GUEST),
    )  # fmt: skip
    for y, height, guest, host, words, left, right in rows:
        p.box((60, y, 240, height), guest, fill=left)
        p.box((660, y, 240, height), host, fill=right)
        if words:
            p.arrow((300, y + height / 2), (660, y + height / 2))
            p.text(480, y + height / 2 - 8, words, size=12)
    p.box((60, 460, 240, 60), "addresses with key bits", ["(SME, MKTME)"], fill=REFUSED)
    p.box((660, 460, 240, 60), "one scratch page", ["4 KiB that the guest may write"], fill=PLAIN)
    p.arrow((300, 320), (624, 320), (624, 476), (660, 476))
    p.text(432, 312, "hidden", size=12)
    p.arrow((300, 504), (660, 504))
    p.text(432, 496, "hidden", size=12)
    p.text(916, 324, "no arrow", size=12, anchor="start", colour=FAINT)
    p.text(916, 340, "ends here", size=12, anchor="start", colour=FAINT)
    return p


CPU_LANES = (
    ("Guest on CPU 0", GUEST),
    ("Core on CPU 0", CORE),
    ("vCPU 1: mailbox", PLAIN),
    ("Core on CPU 1", CORE),
    ("Guest on CPU 1", GUEST),
)


def cpu_start() -> Picture:
    """INIT and SIPI from one CPU to another, as the core delivers them."""
    p = Picture(1000, 700, "How the core delivers INIT and SIPI to another CPU")
    x = [110 + 195 * n for n in range(len(CPU_LANES))]
    for place, (name, fill) in zip(x, CPU_LANES, strict=True):
        p.box((place - 78, 24, 156, 36), name, fill=fill)
        p.line((place, 60), (place, 680))
    sender, core, mailbox, target_core, target = x

    def phase(y: float, words: str) -> None:
        p.elements.append(f'<rect x="16" y="{y:g}" width="968" height="20" rx="4" fill="{PANEL}"/>')
        p.text(26, y + 15, words, size=12, anchor="start", bold=True, colour=FAINT)

    def message(y: float, start: float, end: float, *words: str) -> None:
        p.label((start + end) / 2, y - 15 * len(words) - 9, words)
        p.arrow((start, y), (end, y))

    phase(80, "1  INIT")
    message(150, sender, core, "writes INIT to the ICR", "(VM exit)")
    message(186, core, mailbox, "stores INIT")
    message(222, core, target_core, "sends an NMI: the kick")
    message(258, target, target_core, "VM exit")
    message(294, mailbox, target_core, "takes INIT")
    p.label(
        target_core, 304, ("INIT state,", "resets the local APIC,", "waits in the host"), fill=CORE
    )
    phase(380, "2  SIPI")
    message(450, sender, core, "writes SIPI to the ICR", "(VM exit)")
    message(486, core, mailbox, "stores the vector")
    message(522, mailbox, target_core, "reads it while waiting")
    message(570, target_core, target, "VM entry at", "vector × 1000H")
    phase(600, "3  Afterwards")
    p.label(
        500,
        630,
        (
            "Any other command goes to the real local APIC. On VT-x the writes are trapped",
            "only while CPUs start; on AMD-V always, so that no INIT reaches a launched CPU.",
        ),
        fill="#eef1f4",
    )
    return p


def memory() -> Picture:
    """The core's host-virtual memory, and the block of a CPU (boot_info.h)."""
    p = Picture(1000, 440, "The core's memory, and the block of a CPU")
    hidden = (
        ("hypervisor.elf", "text RX, read-only data R, data RW", 44, CORE),
        ("struct zpp_boot_info", "RW", 42, PLAIN),
        ("struct zpp_log_record", "RW; a warm reset keeps it", 42, PLAIN),
        ("page tables of the core", "RW", 42, PLAIN),
        ("heap: nested paging, …", "RW", 48, PLAIN),
        ("blocks of the CPUs", "64 KiB each", 96, GUEST),
    )
    p.text(290, 34, "Host-virtual, contiguous", size=15, bold=True)
    p.text(152, 62, "ffffa00000000000H", size=11, anchor="end", colour=FAINT)
    y = 50
    for title, line, height, fill in hidden:
        p.box((160, y, 260, height), title, [line], fill=fill, size=11)
        y += height
    p.box((160, y, 260, 44), "struct zpp_cpu_call", ["one for each CPU"], size=11)
    p.text(152, y - 2, "hidden until here", size=11, anchor="end", colour=FAINT)
    p.text(650, 34, "One block: 16 pages", size=15, bold=True)
    parts = (
        ("0: vCPU", 44, CORE, "found from the stack pointer"),
        ("1 to 3: control blocks", 60, PLAIN, "VMCS or VMCB"),
        ("4 to 9: windows", 90, "#fde9c8", "pages of the guest, as needed"),
        ("10: double-fault stack", 36, PLAIN, ""),
        ("11: guard page", 36, REFUSED, "not mapped"),
        ("12 to 15: host stack", 80, PLAIN, ""),
    )
    top = y = 50
    for title, height, fill, line in parts:
        p.box((540, y, 220, height), title, fill=fill)
        if line:
            p.text(772, y + height / 2 + 5, line, size=11, anchor="start", colour=FAINT)
        y += height
    blocks = 50 + sum(height for _, _, height, _ in hidden[:-1])
    for start, end in ((blocks, top), (blocks + 96, y)):
        p.line((420, start), (540, end))
    return p

"""Text of the core's structures, from its own enums and types, so nothing is listed twice."""

from __future__ import annotations

import gdb

from .target import Core

SVM, VMX = "AMD-V", "Intel VT-x"
NESTED_FAULT_COUNTER = 0xA8  # svm/exit_code.hpp
_INTERCEPTS_1 = {
    1: "NMI", 2: "SMI", 3: "INIT", 4: "VINTR", 5: "CR0", 18: "CPUID", 20: "IRET", 22: "INVD",
    24: "HLT", 26: "INVLPGA", 27: "I/O", 28: "MSR", 31: "shutdown",
}  # fmt: skip
_INTERCEPTS_2 = {
    0: "VMRUN", 1: "VMMCALL", 2: "VMLOAD", 3: "VMSAVE", 4: "STGI", 5: "CLGI", 6: "SKINIT",
}  # fmt: skip
_SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs", "tr", "ldtr", "gdtr", "idtr")


def vendor(core: Core) -> str:
    """The extension that the core uses; '' before it has chosen."""
    chosen = int(core.object("zpp::(anonymous namespace)::chosen"))
    for name, symbol in ((SVM, "zpp::svm::vendor"), (VMX, "zpp::vmx::vendor")):
        if chosen == int(gdb.parse_and_eval(f"&{symbol}")):
            return name
    return ""


def exit_name(of: str, code: int) -> str:
    """An exit code or exit reason as the core's enum calls it."""
    enum = "zpp::svm::ExitCode" if of == SVM else "zpp::vmx::ExitReason"
    if of == SVM and code == NESTED_FAULT_COUNTER:
        return "nested_page_fault"
    for field in gdb.lookup_type(enum).fields():
        if field.enumval == code and field.name:
            return field.name.rpartition("::")[2]
    return "?"


def vcpu_line(core: Core, index: int) -> str:
    """One CPU in one line."""
    vcpu = core.value("zpp::Vcpu", core.layout.vcpu(index))
    exits = sum(int(vcpu["exits"][i]) for i in range(vcpu["exits"].type.range()[1] + 1))
    names = ("launched", "nmi_pending", "machine_check_pending")
    flags = [name for name in names if bool(vcpu[name])]
    started = vcpu["startup"]
    if bool(started["kicked"]):
        flags.append("kicked")
    state = vendor_state(core, index)
    if state is not None and vendor(core) == SVM:
        flags += [name for name in ("entered", "nmi_masked") if bool(state[name])]
    return (f"CPU {index}: APIC ID {int(vcpu['apic_id'])}, {exits} VM exits, "
            f"startup {int(started['state']):#x}, {' '.join(flags) or 'not launched'}")  # fmt: skip


def vendor_state(core: Core, index: int) -> gdb.Value | None:
    """What only the vendor's code keeps for a CPU; None before the core has chosen one."""
    name = {SVM: "svm", VMX: "vmx"}.get(vendor(core))
    if name is None:
        return None
    offset = next((f.bitpos or 0) // 8 for f in gdb.lookup_type("zpp::Vcpu").fields()
                  if f.name == "vendor_state")  # fmt: skip
    return core.value(f"zpp::{name}::VcpuState", core.layout.vcpu(index) + offset)


def history(core: Core, index: int) -> list[str]:
    """The last VM exits of a CPU through the general handler, the oldest first."""
    vcpu = core.value("zpp::Vcpu", core.layout.vcpu(index))
    of, entries = vendor(core), vcpu["history"]
    length = entries.type.range()[1] + 1
    lines = []
    for i in range(length):
        entry = entries[(int(vcpu["history_next"]) + i) % length]
        reason, rip = int(entry["reason"]), int(entry["rip"])
        if reason or rip:
            lines.append(f"  exit {reason:#x} {exit_name(of, reason & 0xFFFF)} at rip {rip:#x}")
    return lines


def counters(core: Core, index: int) -> list[str]:
    """How often a CPU left its guest, by reason, the most frequent first."""
    exits = core.value("zpp::Vcpu", core.layout.vcpu(index))["exits"]
    counts = [(int(exits[i]), i) for i in range(exits.type.range()[1] + 1)]
    of = vendor(core)
    return [f"  {count:10} {exit_name(of, reason)} ({reason:#x})"
            for count, reason in sorted(counts, reverse=True) if count]  # fmt: skip


def vmcb_of(core: Core, index: int) -> gdb.Value:
    """A CPU's VMCB."""
    return core.value("zpp::svm::Vmcb", core.layout.vcpu(index) + 2 * 4096)


def _intercepts(value: int, names: dict[int, str]) -> str:
    set_bits = [bit for bit in range(32) if value >> bit & 1]
    return " ".join(names.get(bit, f"bit {bit}") for bit in set_bits) or "none"


def vmcb_lines(vmcb: gdb.Value) -> list[str]:
    """The VMCB (AMD APM Vol. 2, App. B) in words."""

    def field(name: str) -> int:
        return int(vmcb[name])

    def row(*names: str) -> str:
        return "  " + "  ".join(f"{name} {field(name):#x}" for name in names)

    code = field("exit_code")
    lines = [
        f"exit {code:#x} {exit_name(SVM, code)}",
        row("exit_info_1", "exit_info_2", "exit_interrupt_info", "event_injection"),
        "guest",
        row("rip", "rsp", "rax", "rflags", "cpl"),
        row("cr0", "cr3", "cr4", "efer", "cr2"),
        row("dr6", "dr7", "pat", "interrupt_state", "next_rip"),
    ]
    for name in _SEGMENTS:
        part = vmcb[name]
        lines.append(f"  {name:4} {int(part['selector']):#06x}  base {int(part['base']):#x}  "
                     f"limit {int(part['limit']):#x}  attributes {int(part['attributes']):#x}"
                     )  # fmt: skip
    return [
        *lines,
        "controls",
        f"  intercepts: {_intercepts(field('intercept_vector_3'), _INTERCEPTS_1)}",
        f"  and: {_intercepts(field('intercept_vector_4'), _INTERCEPTS_2)}",
        row("intercept_exceptions", "msrpm_base", "asid", "tlb_control", "clean"),
        row("nested_controls", "nested_cr3", "virtual_interrupt", "lbr_virtualization"),
    ]

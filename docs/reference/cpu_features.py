"""Writes cpu-features.md from the core's own tables: `make reference`. With --check it compares.

Standard library only. It reads what tests/host/reference/print_tables.cpp prints.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
PAGE = FOLDER / "cpu-features.md"

Row = Sequence[str]

INTRODUCTION = """\
# CPU features, MSRs and exits

`make reference` generates this page from the core's tables; a test compares them. Everything else
is passed on: the guest uses it on the CPU, without an exit. The CPUID bits here are as zpp shows
them; the [contract](contract.md) has those that depend on the guest's CR4 and mode.

| word | meaning |
| --- | --- |
| passed on | as on the bare CPU |
| with … | passed on if the CPU has this control or bit, which zpp sets; hidden otherwise |
| hidden | CPUID shows 0, MSRs give #GP, instructions #UD |
| emulated | zpp answers |

Tests are cases of `tests/host/` and `tests/boot/`, and checks of the EFI program `ZppGuestTest`,
which runs on each emulator.

## Counters, traces and records

When the guest profiles programs, the CPU itself counts events and writes records. On VT-x a VM exit
stops that, and the next VM entry starts it again: an exit clears IA32_DEBUGCTL (LBR, BTS) and loads
IA32_PERF_GLOBAL_CTRL, IA32_RTIT_CTL (Intel PT) and IA32_LBR_CTL with 0. So nothing counts the host,
or writes a record through the host's page tables. If the CPU cannot stop one of them, zpp hides it.

- PEBS before Ice Lake (IA32_PERF_CAPABILITIES[14] is 0) can write a record some time after its
  counter stopped, so IA32_MISC_ENABLE says that there is no PEBS, and IA32_PEBS_ENABLE has no
  effect. Precise events (`perf record -e cycles:pp`) are then not available; others work.
- Intel PT needs *Intel PT uses guest physical addresses* (Ice Lake and later): without it the
  output could be in the core's memory.
- On AMD-V, IBS, the counters and LBR v2 keep running in the host. They write to MSRs only, so a
  profile can contain addresses of the core, but no data. A counter with its HostOnly bit set counts
  the core.
"""

FEATURE_HEAD = ("CPUID", "feature", "VT-x", "AMD-V", "why", "test")
FEATURE_MSR_HEAD = ("MSR", "feature", "VT-x", "AMD-V", "test")
MSR_HEAD = ("MSR", "name", "on", "RDMSR", "WRMSR", "test")
EXIT_HEADS = {
    "VT-x": ("exit reason", "name", "answer", "test"),
    "AMD-V": ("exit code", "name", "answer", "test"),
}

# The test of a row, by its first match: a file of tests/host/ or tests/boot/, and how the name of a
# case starts; or the EFI test program, and how the name of a check starts.
TESTS = (
    (r"feature IA32_XSS.*", "test_features: IA32_XSS has no component of a hidden feature"),
    (r"feature INVLPGB.*", "test_features: INVLPGB shows where the VMCB can enable it"),
    (r"feature (VMX|SMX|SVM|SKINIT) .*", "test_cpuid: ECX of leaves"),
    (r"feature features of SVM .*", "test_cpuid: the leaves of SVM and of memory encryption"),
    (r"feature HFI.*", "test_emulate_msr: the hardware feedback table cannot be in the core"),
    (r"feature .* (passed on|hidden)", "test_features: a row shows if its needs are met"),
    (r"feature .*", "test_features: a row is hidden if its need is not met"),
    (r"feature-msr .*", "test_features: the MSRs of a hidden feature do not exist"),
    (r"VT-x IA32_FEATURE_CONTROL", "test_emulate_msr: IA32_FEATURE_CONTROL is locked"),
    (r"VT-x IA32_VMX_BASIC.*", "test_emulate_msr: VMX does not exist for the guest"),
    (r"VT-x IA32_MISC_ENABLE", "test_emulate_msr: what a hidden feature adds"),
    (r"VT-x IA32_PEBS_ENABLE", "test_emulate_msr: what a hidden feature adds"),
    (r"VT-x IA32_PERF_GLOBAL_CTRL", "test_emulate_msr: IA32_PERF_GLOBAL_CTRL exits"),
    (r"VT-x IA32_HW_FEEDBACK_PTR", "test_emulate_msr: the hardware feedback table"),
    (r"AMD-V IA32_EFER", "test_emulate_msr: EFER under AMD-V"),
    (r"AMD-V (VM_CR|VM_HSAVE_PA|SVM_KEY|PATCH_LOADER)", "test_emulate_msr: SVM does not exist"),
    (r"VT-x .*", "test_emulate_msr: what exits under VT-x"),
    (r"AMD-V .*", "test_emulate_msr: what exits under AMD-V"),
    (r"exit VT-x (SEAMCALL|TDCALL) .*", "test_exit_names: those of hidden features are #UD"),
    (r"exit AMD-V SKINIT .*", "test_exit_names: SVM instructions are #UD"),
    (r"exit .* #UD", "ZppGuestTest: VMX, SVM and SMX instructions give #UD"),
    (r"exit VT-x .* cannot happen.*", "test_vmx_capabilities: a capable CPU"),
    (r"exit AMD-V .* cannot happen.*", "test_vmcb_setup: the intercepts are those of the table"),
    (r"exit .* CPUID .*", "test_handle: CPUID answers for the guest's mode"),
    (r"exit VT-x (RD|WR)MSR emulated", "test_handle: MSRs by the table"),
    (r"exit AMD-V MSR .*", "test_handle: MSRs by the table"),
    (r"exit .* INVD .*", "ZppGuestTest: WBINVD and INVD preserve memory"),
    (r"exit .* (I/O instruction|IOIO) .*", "test_sleep: the access is done for the guest"),
    (r"exit .* (VMCALL|VMMCALL) .*", "test_hypercall: what is refused"),
    (r"exit .* (triple fault|SHUTDOWN) .*", "test_handle: a triple fault is one line"),
    (r"exit .* (EPT violation|NPF) .*", "test_xapic_store: a store of each form and place"),
    (r"exit VT-x exception or NMI .*", "test_requested_exits: an NMI, a kick or a machine check"),
    (r"exit VT-x NMI window .*", "test_handle: at once, or at the window"),
    (r"exit VT-x INIT signal .*", "test_icr_trap: an INIT that was not trapped"),
    (r"exit VT-x task switch .*", "test_vmx_task_switch: the four sources"),
    (r"exit VT-x control-register access .*", "test_vmx_events: MOV, CLTS and LMSW"),
    (r"exit VT-x monitor trap flag .*", "test_vmx_events: the shadow keeps the value only if"),
    (r"exit VT-x XSETBV .*", "test_xcr0: #GP before the host would run it"),
    (r"exit VT-x VMX-preemption timer .*", "test_requested_exits: the controls follow the state"),
    (r"exit VT-x .* invalid guest state .*", "test_entry_checks: the broken rule is named"),
    (r"exit VT-x .* machine check .*", "test_machine_check: the guest takes it if the host can"),
    (r"exit VT-x .*", "test_exit_names: the table has every number of the manual once"),
    (r"exit AMD-V CR0_SEL_WRITE .*", "test_svm_cr0: MOV to CR0"),
    (r"exit AMD-V EXCP emulated", "ZppGuestTest: #GP arrives as it was"),
    (r"exit AMD-V EXCP .*", "test_svm_events: the IRET faults"),
    (r"exit AMD-V NMI .*", "test_svm_events: injected, masked until the IRET"),
    (r"exit AMD-V IRET .*", "test_svm_events: a pending one comes right after the IRET"),
    (r"exit AMD-V SMI .*", "test_smm_firmware: linux on the newest firmware"),
    (r"exit AMD-V INIT .*", "test_startup: an INIT from elsewhere"),
    (r"exit AMD-V .*", "test_exit_names: the table is in order"),
)


def cases_of(file: str) -> list[str]:
    """The names of a file's cases, or of the checks of the EFI test program."""
    if file == "ZppGuestTest":
        program = ROOT / "tests/guest/ZppTestPkg" / file
        text = "".join(path.read_text() for path in sorted(program.glob("Check*.c")))
        return re.findall(r'\{ "([^"]+)", +Check', text)
    host, boot = ROOT / f"tests/host/{file}.cpp", ROOT / f"tests/boot/{file}.py"
    if host.exists():
        return re.findall(r'TEST_CASE\("[^:"]*: ([^"]*)', host.read_text())
    return [name.replace("_", " ") for name in re.findall(r"def test_(\w+)", boot.read_text())]


def test_of(key: str) -> str:
    """The test that holds a row, as the page names it; the test must exist."""
    for pattern, name in TESTS:
        if re.fullmatch(pattern, key):
            file, _, case = name.partition(": ")
            if not any(known.startswith(case) for known in cases_of(file)):
                raise ValueError(f"{file}: no test case starts with {case!r}")
            return f"`{file}`: {case}"
    raise ValueError(f"no test holds this row: {key}; add it to {__file__}")


def msr_names() -> dict[int, str]:
    """The names of MSRs, from the header that declares them."""
    text = (ROOT / "hypervisor/src/x86/msr.hpp").read_text()
    body = text[text.index("enum class Msr") :].split("};")[0]
    pairs = re.findall(r"(\w+) = (0x[0-9a-f]+)", body)
    return {int(value, 16): name.upper() for name, value in pairs}


def table(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |\n"
    yield "| " + " | ".join("---" for _ in head) + " |\n"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n"


def number(text: str) -> str:
    digits = f"{int(text, 16):X}H"
    return digits if digits[0].isdigit() else "0" + digits


def bits(mask: str, output: str) -> str:
    """`:EBX[3]`, or `:EBX`, or nothing for all registers of a leaf."""
    value = int(mask, 16)
    if not output or value == 0xFFFFFFFF:
        return f":{output}" if output else ""
    ones = [bit for bit in range(31, -1, -1) if value >> bit & 1]
    if len(ones) > 2:
        return f":{output}[{ones[0]}:{ones[-1]}]"
    return f":{output}[{', '.join(map(str, ones))}]"


def feature_rows(rows: Sequence[Row]) -> Iterator[Row]:
    for leaf, subleaf, output, mask, name, vmx, svm, why in rows:
        sub = "" if int(subleaf, 16) == 0xFFFFFFFF else f".{int(subleaf, 16)}"
        test = test_of(f"feature {name} {vmx if vmx == svm else 'with'}")
        yield f"{number(leaf)}{sub}{bits(mask, output)}", name, vmx, svm, why, test


def msr_rows(rows: Sequence[Row]) -> Iterator[Row]:
    names = msr_names()
    for vendor, first, last, read, write, needed in rows:
        name = names[int(first, 16)]
        place = number(first) if first == last else f"{number(first)} to {number(last)}"
        if first != last and int(last, 16) in names:
            name += f" to {names[int(last, 16)]}"
        condition = "" if needed == "always" else " *"
        yield place, name, vendor, read + condition, write + condition, test_of(f"{vendor} {name}")


def feature_msr_rows(rows: Sequence[Row]) -> Iterator[Row]:
    for first, last, name, vmx, svm in rows:
        place = number(first) if first == last else f"{number(first)} to {number(last)}"
        yield place, name, vmx, svm, test_of(f"feature-msr {name}")


REQUIREMENT_HEAD = ("for", "needed", "read from", "must be", "usual fix")
RULES = {"ALL_1": "1", "ALL_0": "0", "NOT_LOCKED_OFF": "not only the lock"}


def requirement_rows(rows: Sequence[Row]) -> Iterator[Row]:
    names = msr_names()
    for group, source, index, rule, mask, _status, detail, name, fix in rows:
        ones = [bit for bit in range(63, -1, -1) if int(mask, 16) >> bit & 1]
        where = "CR4" if source == "CR4" else names.get(int(index, 16), number(index))
        if source.startswith("CPUID_"):
            where = f"CPUID.{number(index)}:{source.removeprefix('CPUID_')}"
        place = "controls" if len(ones) > 2 else ", ".join(map(str, ones))
        vendor = {"FOR_VTX": "VT-x", "FOR_AMDV": "AMD-V"}.get(group, "either")
        yield vendor, name or detail, f"{where}[{place}]", RULES[rule], fix


def exit_place(code: str) -> str:
    """A decimal exit reason, or the first and the last exit code."""
    first, _, last = code.partition(" ")
    if not last:
        return first
    return number(first) if first == last else f"{number(first)} to {number(last)}"


def exit_rows(rows: Sequence[Row], wanted: str) -> Iterator[Row]:
    for vendor, code, name, answer in rows:
        if vendor == wanted:
            yield exit_place(code), name, answer, test_of(f"exit {vendor} {name} {answer}")


def page(tables: str) -> str:
    """The whole page, from what the program prints."""
    rows = [line.split("\t") for line in tables.splitlines()]

    def of(kind: str) -> list[Row]:
        return [row[1:] for row in rows if row[0] == kind]

    return "".join((
        INTRODUCTION,
        "\n## What zpp needs\n\nThe core refuses a launch by this table, and [doctor]"
        "(../how-to/will-it-run.md) says by it\nwhether zpp will run. VT-x or AMD-V is enough.\n\n",
        *table(REQUIREMENT_HEAD, [*requirement_rows(of("requirement"))]),
        "\n## Features, by CPUID\n\n",
        *table(FEATURE_HEAD, [*feature_rows(of("feature"))]),
        "\n## MSRs of features\n\nThey exist if the feature shows.\n\n",
        *table(FEATURE_MSR_HEAD, [*feature_msr_rows(of("feature-msr"))]),
        "\n## Other MSRs\n\nOn VT-x, writes to the MTRRs exit too: nested paging follows them.\n"
        "Rows with * only if the CPU has no control that does the same.\n\n",
        *table(MSR_HEAD, [*msr_rows(of("msr"))]),
        "\n## VM exits of VT-x, by exit reason\n\n",
        *table(EXIT_HEADS["VT-x"], [*exit_rows(of("exit"), "VT-x")]),
        "\n## VM exits of AMD-V, by exit code\n\n",
        *table(EXIT_HEADS["AMD-V"], [*exit_rows(of("exit"), "AMD-V")]),
    ))  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    text = page(sys.stdin.read())
    if arguments != ["--check"]:
        PAGE.write_text(text, encoding="utf-8")
    elif text != PAGE.read_text(encoding="utf-8"):
        sys.exit(f"{PAGE} is not what the core's tables say; run `make reference`")


if __name__ == "__main__":
    main(sys.argv[1:])

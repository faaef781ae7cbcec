"""Names and explanations of VM exits. Oracle: the tables in the core's sources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from efi_image.formats.vm_trace import Vendor, VmExit
from efi_image.inspect.vm_exit_names import HYPERCALLS, find_msr
from efi_image.inspect.vm_exit_reasons import detail_of, kind_of, name_of, reason_of
from efi_image.inspect.vm_exits import KINDS

CORE = Path(__file__).parents[2] / "hypervisor"
VTX_ROWS = re.findall(
    r'\{(\d+), "([^"]+)", ExitAnswer::(\w+)\}', (CORE / "src/vmx/exit_reason.hpp").read_text()
)
AMDV_ROWS = re.findall(
    r'\{(0x\w+), (0x\w+), "([^"]+)", ExitAnswer::(\w+)\}',
    (CORE / "src/svm/exit_code.hpp").read_text(),
)
# the meaning of the core's answer here
KINDS_OF = {"undefined_opcode": "hidden", "control_off": "off", "intercept_off": "off",
            "crash": "fatal"}  # fmt: skip
EXCP0, EXCP13 = 0x40, 0x4D


def vm_exit(reason: int, qualification: int = 0, operand: int = 0, operand2: int = 0) -> VmExit:
    return VmExit(0, 0, reason, qualification, 0x1000, 8, 4, 0, operand, operand2)


def test_the_core_s_tables_were_read() -> None:
    assert len(VTX_ROWS) > 70
    assert len(AMDV_ROWS) > 50


@pytest.mark.parametrize(("number", "name", "answer"), VTX_ROWS, ids=lambda value: value)
def test_reasons_of_vtx(number: str, name: str, answer: str) -> None:
    reason = reason_of(Vendor.VTX, int(number) | 1 << 31)  # the upper half has flags
    assert (reason.number, reason.name) == (int(number), name)
    assert reason.kind == KINDS_OF.get(answer, reason.kind)
    if answer == "handled":
        assert reason.kind not in KINDS_OF.values()
        assert kind_of(Vendor.VTX, vm_exit(int(number))).section(Vendor.VTX)


@pytest.mark.parametrize(("first", "last", "name", "answer"), AMDV_ROWS, ids=lambda value: value)
def test_codes_of_amdv(first: str, last: str, name: str, answer: str) -> None:
    for number in {int(first, 0), int(last, 0)} - {EXCP13}:
        reason = reason_of(Vendor.AMDV, number)
        start = EXCP0 if name == "EXCP" else int(first, 0)  # the core has three rows of exceptions
        suffix = str(number - start) if first != last else ""
        assert (reason.number, reason.name) == (number, name + suffix)
        expected = "stepping" if name == "EXCP" else KINDS_OF.get(answer, reason.kind)
        assert reason.kind == expected
        if answer == "handled":
            assert reason.kind not in KINDS_OF.values()
            assert kind_of(Vendor.AMDV, vm_exit(number)).section(Vendor.AMDV)


def test_numbers_that_no_manual_has() -> None:
    for vendor in Vendor:
        assert reason_of(vendor, 0x7777).name == "reason 0x7777"
        assert kind_of(vendor, vm_exit(0x7777)) is KINDS["fatal"]
    assert reason_of(Vendor.AMDV, EXCP13).kind == "general protection"


MSR_NUMBERS = {
    name: int(value, 0)
    for name, value in re.findall(
        r"^    (\w+) = (0x\w+),", (CORE / "src/x86/msr.hpp").read_text(), re.MULTILINE
    )
}
MSR_ROWS = [
    (*row, source)
    for source in ("vmx/msr.cpp", "svm/msr.cpp")
    for row in re.findall(
        r"\{Msr::(\w+), Msr::(\w+),\s*([\w:]+),\s*([\w:]+)", (CORE / "src" / source).read_text()
    )
]
HIDDEN_ROWS = re.findall(
    r"\{x86::Msr::(\w+), x86::Msr::(\w+),", (CORE / "src/emulate/feature_table.hpp").read_text()
)


def test_the_core_s_msrs_were_read() -> None:
    assert len(MSR_ROWS) > 30
    assert len(HIDDEN_ROWS) > 5


@pytest.mark.parametrize(("first", "last", "read", "write", "source"), MSR_ROWS)
def test_every_msr_that_exits_is_explained(
    first: str, last: str, read: str, write: str, source: str
) -> None:
    for name in (first, last):
        row = find_msr(MSR_NUMBERS[name])
        assert row is not None, f"{name} of {source} is not in MSRS"
        assert bool(row.read) is (read != "nullptr"), f"{name}: reads"
        assert bool(row.wrote) is (write != "nullptr"), f"{name}: writes"
        assert ("#GP" in row.read) is (read == "refuse_rdmsr")


@pytest.mark.parametrize(("first", "last"), HIDDEN_ROWS)
def test_every_hidden_msr_is_explained(first: str, last: str) -> None:
    for name in (first, last):
        row = find_msr(MSR_NUMBERS[name])
        assert row is not None
        assert "#GP" in row.read
        assert "#GP" in row.wrote


def test_hypercalls_have_the_contract_s_numbers() -> None:
    header = (CORE / "include/zpp/hypercall.h").read_text()
    numbers = re.findall(r"^    ZPP_HYPERCALL_(\w+) = (\d+),", header, re.MULTILINE)
    calls = numbers[: numbers.index(("OK", "0"))]
    assert [name.lower().replace("_", " ") for name, _ in calls] == [
        name.lower() for name in HYPERCALLS
    ]
    assert [int(number) for _, number in calls] == list(range(len(HYPERCALLS)))


VTX, AMDV = Vendor.VTX, Vendor.AMDV
KEY = 0x7A7070


@pytest.mark.parametrize(
    ("vendor", "exit_", "name", "detail"),
    [
        (VTX, vm_exit(10, 0, 1), "CPUID", "leaf 0x1, family, model and features"),
        (AMDV, vm_exit(0x72, 0, 0xFFFF_FFFF_0000_0077), "CPUID", "leaf 0x77"),
        (VTX, vm_exit(10, 0, 0x40000000, KEY), "CPUID",
         "leaf 0x40000000, hypervisor's signature, with zpp's key"),
        (VTX, vm_exit(10, 0, 0x40000000), "CPUID", "leaf 0x40000000, hypervisor's signature"),
        (VTX, vm_exit(10, 0, 0x40000300), "CPUID",
         "leaves from 0x40000100, signatures of other hypervisors"),
        (VTX, vm_exit(31, 0, 0, 0x3A), "RDMSR", "0x3a, IA32_FEATURE_CONTROL"),
        (VTX, vm_exit(32, 0, 0, 0x202), "WRMSR", "0x202, IA32_MTRR_PHYSBASE/MASK"),
        (VTX, vm_exit(84, 0x3A, 0, 0x79), "RDMSR with an immediate", "0x3a, IA32_FEATURE_CONTROL"),
        (AMDV, vm_exit(0x7C, 0, 0, 0xC0000080), "MSR (RDMSR)", "0xc0000080, EFER"),
        (AMDV, vm_exit(0x7C, 1, 0, 0x1234567), "MSR (WRMSR)", "0x1234567"),
        (VTX, vm_exit(28, 0x304), "control-register access", "MOV to CR4"),
        (VTX, vm_exit(28, 0x020), "control-register access", "CLTS"),
        (VTX, vm_exit(48, 2, 0xFEE00300), "EPT violation", "write of the local APIC, ICR"),
        (AMDV, vm_exit(0x400, 0, 0x123456789), "NPF", "access of 0x123456000"),
        (VTX, vm_exit(18, 0, KEY << 32 | 7), "VMCALL", "commit"),
        (VTX, vm_exit(18, 0, KEY << 32 | 99), "VMCALL", "number 99"),
        (AMDV, vm_exit(0x81, 0, 7), "VMMCALL", "not one of zpp's"),
        (VTX, vm_exit(0, 0, 0x80000202), "exception or NMI", "NMI"),
        (VTX, vm_exit(0, 0, 0x80000B0D), "exception or NMI", "#GP"),
        (VTX, vm_exit(55, 0, 7, 0), "XSETBV", "XCR0"),
        (VTX, vm_exit(27), "VMXON", ""),
    ],
)  # fmt: skip
def test_details(vendor: Vendor, exit_: VmExit, name: str, detail: str) -> None:
    assert name_of(vendor, exit_) == name
    assert detail_of(vendor, exit_).title == detail

"""zpp_loader.sys, unchanged, on an emulated Windows kernel (unicorn): its page tables, trampoline
and hypercalls are executed; only the core is replaced by a fake."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from windows_core import LAUNCH, PREPARE
from windows_kernel import REG_DWORD, REG_SZ, Faults
from windows_machine import CpuModel
from windows_run import Run, build_directory

from efi_image.config.environment import load

pytestmark = pytest.mark.slow

LAUNCHED = 0xC000_02DE  # STATUS_INSUFFICIENT_POWER
UNSUCCESSFUL = 0xC000_0001
INVALID_PARAMETER = 0xC000_000D
DEVICE_NOT_READY = 0xC000_00A3
INVALID_IMAGE_FORMAT = 0xC000_007B
NO_RESOURCES = 0xC000_009A
NOT_SUPPORTED = 0xC000_00BB
INTERNAL_ERROR = 0xC000_00E5
ALREADY_LOADED = 0xC000_010E
INVALID_DEVICE_STATE = 0xC000_0184
RETRY = 0xC000_022D
REVISION_MISMATCH = 0xC000_0059
NOT_CAPABLE = 0xC000_0429
IN_USE = 0x8000_0011  # STATUS_DEVICE_BUSY: "The requested resource is in use."

FAST_STARTUP = (
    "Fast Startup is on: after a shut-down Windows resumes without zpp, and its memory stays lost "
    "until a restart (turn it off: powercfg /h off)"
)

# enum zpp_status (status.h)
BAD_ELF, BAD_BOOT_INFO, NO_MEMORY, NO_VIRTUALIZATION, LOCKED, USED, MISSING, ENTRY, CALL = range(
    1, 10
)

INVALID_SETTING = "SerialPort, WaitForDebugger, Visible or ResetAfter in the registry is not valid"

ROOT_PARTITION = {
    0x4000_0000: (0x4000_000C, *struct.unpack("<3I", b"Microsoft Hv")),
    0x4000_0001: (0x3123_7648, 0, 0, 0),
    0x4000_0003: (0, 1, 0, 0),
}
HYPERV_GUEST = {**ROOT_PARTITION, 0x4000_0003: (0, 0, 0, 0)}
KVM = {0x4000_0000: (0x4000_0001, *struct.unpack("<3I", b"KVMKVMKVM\0\0\0"))}
FUZZY = {0x4000_0000: (0x4000_0003, 1, 2, 3), 0x4000_0001: (7, 7, 7, 7), 0x4000_0003: (0, 1, 0, 0)}


@pytest.mark.parametrize(
    ("groups", "model", "vendor"),
    [
        ((1,), CpuModel(), "Intel VT-x"),
        ((4,), CpuModel(topology_leaf=False), "Intel VT-x"),
        ((3,), CpuModel(vmx=False, svm=True, address_bits=48), "AMD-V"),
        ((64, 16), CpuModel(vmx=False, svm=True), "AMD-V"),
        ((7, 64, 1), CpuModel(), "Intel VT-x"),
    ],
)
def test_every_cpu_is_launched(groups: tuple[int, ...], model: CpuModel, vendor: str) -> None:
    run = Run(model, groups).start()
    count = sum(groups)
    assert run.status == LAUNCHED
    assert run.result == f"zpp runs on {count} CPU{'s' if count > 1 else ''} with {vendor}"
    cpus = list(range(count))
    assert run.machine.virtualized == set(cpus)
    assert run.core.confirmed == cpus
    assert run.core.committed
    assert [(c.phase, c.cpu) for c in run.core.calls] == [
        (PREPARE, 0),
        *((LAUNCH, c) for c in cpus),
    ]
    assert [c.apic_id for c in run.core.calls[1:]] == list(run.machine.apic_ids)
    # each CPU's own state, captured on it
    for cpu, call in enumerate(run.core.calls[1:]):
        assert call.os.gdtr.base == call.os.tr.base - 0x100 == run.machine.tables_of(cpu)
        assert call.os.gs.base == run.machine.gs_base_of(cpu)
        assert call.os.cr3 == run.machine.os_cr3
        assert (call.os.cs.selector, call.os.tr.selector) == (0x10, 0x40)
    info = run.core.info
    assert info is not None
    assert info.cpu_count == count
    assert info.total_pages == run.memory_pages, (
        "the memory stays allocated, and no more than needed"
    )
    assert [(r.physical, r.pages) for r in info.ranges[: info.range_count]] == list(
        run.kernel.contiguous.values()
    )


@pytest.mark.parametrize("svm", [False, True])
def test_process_context_identifiers(svm: bool) -> None:
    """Windows sets CR4.PCIDE, which restricts the values of CR3 and CR4."""
    model = CpuModel(vmx=not svm, svm=svm, pcid=2)
    assert Run(model).start().status == LAUNCHED
    run = Run(model, groups=(3,))
    run.core.launched = lambda cpu: ENTRY if cpu == 2 else 0
    run.start().failed(UNSUCCESSFUL, "no hypervisor: CPU 2: the CPU refused the VM entry")
    assert run.core.devirtualized == [1, 0]
    assert run.machine.control_moves >= 4 * 2  # in and out: prepare, two launches, a failure


def test_settings_of_the_build_and_of_the_registry() -> None:
    info = Run().start().core.info
    assert info is not None
    config = load()
    found = (info.serial_port, info.wait_for_debugger, info.visible, info.reset_after)
    assert found == (config.serial_port, config.hypervisor_wait_for_debugger, 0, 10)
    number = struct.Struct("<I").pack
    registry = {
        "SerialPort": (REG_DWORD, number(0x2F8)),
        "WaitForDebugger": (REG_DWORD, number(1)),
        "Visible": (REG_DWORD, number(1)),
        "ResetAfter": (REG_DWORD, number(3600)),
        "ImagePath": (REG_SZ, b"x"),
    }
    info = Run(registry=registry).start().core.info
    assert info is not None
    found = (info.serial_port, info.wait_for_debugger, info.visible, info.reset_after)
    assert found == (0x2F8, 1, 1, 3600)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SerialPort", (REG_DWORD, struct.pack("<I", 0xFFF9))),
        ("SerialPort", (REG_DWORD, struct.pack("<I", 0x1_0000))),
        ("SerialPort", (REG_SZ, b"3\0\0\0")),
        ("SerialPort", (REG_SZ, "0x3f8\0".encode("utf-16-le"))),
        ("SerialPort", (REG_DWORD, b"\x01")),
        ("SerialPort", (REG_DWORD, b"")),
        ("WaitForDebugger", (REG_DWORD, struct.pack("<I", 2))),
        ("Visible", (REG_DWORD, struct.pack("<I", 2))),
        ("ResetAfter", (REG_DWORD, struct.pack("<I", 3601))),
    ],
)
def test_invalid_settings(name: str, value: tuple[int, bytes]) -> None:
    run = Run(registry={name: value}).start()
    run.failed(INVALID_PARAMETER, f"no hypervisor: {INVALID_SETTING}")
    assert not run.core.calls


@pytest.mark.parametrize(
    ("power", "warns"),
    [
        (None, False),
        ({}, False),
        ({"HiberbootEnabled": (REG_DWORD, struct.pack("<I", 0))}, False),
        ({"HiberbootEnabled": (REG_DWORD, struct.pack("<I", 1))}, True),
        ({"HiberbootEnabled": (REG_SZ, b"1\0\0\0")}, False),
    ],
)
def test_fast_startup(power: dict[str, tuple[int, bytes]] | None, warns: bool) -> None:
    run = Run(power=power).start()
    assert run.status == LAUNCHED
    runs, _, warning = run.result.partition("; ")
    assert re.fullmatch(r"zpp runs on \d+ CPUs? with (Intel VT-x|AMD-V)", runs)
    assert warning == (FAST_STARTUP if warns else "")


@pytest.mark.parametrize("row", [400, 64, 20])
def test_memory_in_several_ranges(row: int) -> None:
    run = Run(faults=Faults(pages_in_a_row=row)).start()
    assert run.status == LAUNCHED
    assert run.core.info is not None
    assert run.core.info.range_count > 1
    assert run.core.info.total_pages == run.memory_pages


@pytest.mark.parametrize(
    "faults",
    [
        Faults(pool=True),
        Faults(pages_in_a_row=0),
        Faults(pages_in_a_row=1),  # more ranges than the contract has
        *(Faults(free_pages=pages, pages_in_a_row=50) for pages in (1, 49, 50, 51, 100, 150)),
    ],
)
def test_not_enough_memory(faults: Faults) -> None:
    run = Run(faults=faults).start()
    run.failed(NO_RESOURCES, "no hypervisor: not enough memory for the hypervisor")
    assert not run.core.calls


TEXTS = {
    BAD_ELF: (INVALID_IMAGE_FORMAT, "hypervisor.elf is damaged or not for this loader"),
    BAD_BOOT_INFO: (
        REVISION_MISMATCH, "the loader and hypervisor.elf have different versions"
    ),
    NO_MEMORY: (NO_RESOURCES, "not enough memory for the hypervisor"),
    NO_VIRTUALIZATION: (NOT_SUPPORTED, "this CPU has neither VT-x nor AMD-V"),
    LOCKED: (
        NOT_CAPABLE,
        "the firmware has locked virtualization off (enable it in the firmware's setup)",
    ),
    USED: (IN_USE, "another hypervisor already uses this CPU's virtualization"),
    MISSING: (NOT_SUPPORTED, "this CPU lacks a virtualization feature that zpp needs"),
    ENTRY: (UNSUCCESSFUL, "the CPU refused the VM entry"),
    CALL: (INVALID_DEVICE_STATE, "the hypervisor was called out of order"),
    77: (UNSUCCESSFUL, "unknown status"),
}  # fmt: skip


@pytest.mark.parametrize("status", TEXTS)
def test_the_core_refuses_to_prepare(status: int) -> None:
    run = Run()
    run.core.prepared = status
    run.start().failed(TEXTS[status][0], f"no hypervisor: {TEXTS[status][1]}")
    assert [c.phase for c in run.core.calls] == [PREPARE]


@pytest.mark.parametrize("cpu", [0, 1, 3])
@pytest.mark.parametrize("status", [LOCKED, MISSING, ENTRY])
def test_a_cpu_that_cannot_be_launched_rolls_back_all(cpu: int, status: int) -> None:
    run = Run(CpuModel(vmx=False, svm=True), groups=(2, 2))
    run.core.launched = lambda number: status if number == cpu else 0
    run.core.detail = "unrestricted guest"
    code, text = TEXTS[status]
    run.start().failed(code, f"no hypervisor: CPU {cpu}: {text} (unrestricted guest)")
    assert run.core.devirtualized == list(reversed(range(cpu)))


@pytest.mark.parametrize(
    ("leaves", "status", "addition"),
    [
        (ROOT_PARTITION, IN_USE,
         "; this Windows runs under Hyper-V: turn off Hyper-V and memory integrity"),
        (HYPERV_GUEST, None, "; this is a virtual machine: enable nested virtualization for it"),
        (KVM, None, "; this is a virtual machine: enable nested virtualization for it"),
        (FUZZY, None, "; this is a virtual machine: enable nested virtualization for it"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("refused", [NO_VIRTUALIZATION, LOCKED, USED, MISSING])
def test_under_another_hypervisor(
    leaves: dict[int, tuple[int, int, int, int]], status: int | None, addition: str, refused: int
) -> None:
    run = Run(CpuModel(vmx=False, hypervisor=leaves))
    run.core.prepared = refused
    code, text = TEXTS[refused]
    run.start().failed(code if status is None else status, f"no hypervisor: {text}{addition}")


def test_nested_virtualization() -> None:
    assert Run(CpuModel(hypervisor=HYPERV_GUEST)).start().status == LAUNCHED


def test_a_virtual_machine_is_not_blamed_for_the_rest() -> None:
    run = Run(CpuModel(hypervisor=KVM))
    run.core.prepared = ENTRY
    run.start().failed(UNSUCCESSFUL, "no hypervisor: the CPU refused the VM entry")


def test_zpp_is_already_running() -> None:
    run = Run()
    run.machine.virtualized = {0, 1}
    run.start()
    assert (run.status, run.result) == (ALREADY_LOADED, "zpp is already running on this machine")
    assert run.machine.virtualized == {0, 1}
    assert not run.core.calls
    assert run.memory_pages == 0


def test_loading_again_after_a_failure() -> None:
    """A failed attempt does not affect the next one on the same machine."""
    run = Run()
    run.core.launched = lambda cpu: ENTRY if cpu == 1 else 0
    run.start().failed(UNSUCCESSFUL, "no hypervisor: CPU 1: the CPU refused the VM entry")
    run.core.launched = lambda _cpu: 0
    run.kernel.printed.clear()
    run.core.calls.clear()
    assert run.start().status == LAUNCHED
    assert run.machine.virtualized == {0, 1}


NOT_EVERY_CPU = "no hypervisor: Windows did not let the loader run on every CPU"


@pytest.mark.parametrize(
    ("faults", "status"),
    [
        (Faults(no_number_for=1), INVALID_PARAMETER),
        (Faults(unreachable=1), DEVICE_NOT_READY),
    ],
)
def test_a_cpu_that_windows_refuses(faults: Faults, status: int) -> None:
    run = Run(groups=(2, 1), faults=faults).start()
    run.failed(status, NOT_EVERY_CPU)
    assert not run.core.calls, "this is known before the launch"


def test_a_cpu_that_goes_away_during_the_launch() -> None:
    run = Run(groups=(3,))

    def launched(cpu: int) -> int:
        run.faults.no_number_for = 2 if cpu == 1 else None
        return 0

    run.core.launched = launched
    run.start().failed(INVALID_PARAMETER, NOT_EVERY_CPU)
    assert run.core.devirtualized == [1, 0]


def test_a_cpu_that_is_added_during_the_launch() -> None:
    run = Run(groups=(2,), faults=Faults(added_after=2)).start()
    run.failed(RETRY, "no hypervisor: a CPU was added during the launch; load the driver again")
    assert run.core.devirtualized == [1, 0]


def test_a_commit_that_is_refused() -> None:
    run = Run()
    run.core.commit = 4
    run.start().failed(
        INVALID_DEVICE_STATE, "no hypervisor: the hypervisor was called out of order"
    )
    assert run.core.devirtualized == [1, 0]


@pytest.mark.parametrize("cpu", [0, 1])
def test_a_cpu_that_stays_virtualized_keeps_the_memory(cpu: int) -> None:
    run = Run(groups=(3,))
    run.core.launched = lambda number: ENTRY if number == 2 else 0
    run.core.stuck_cpu = cpu
    run.start()
    assert run.status == INTERNAL_ERROR
    assert run.result == (
        "no hypervisor: a CPU cannot be devirtualized; the hypervisor's memory stays allocated"
    )
    assert run.machine.virtualized == {cpu}
    assert run.core.info is not None
    assert run.memory_pages == run.core.info.total_pages


def test_a_service_key_that_cannot_be_opened() -> None:
    """The result cannot be written, but the message is printed."""
    run = Run(faults=Faults(key=0xC000_0022))
    old_result = f"no hypervisor: {INVALID_SETTING}\0"
    run.kernel.registry["Result"] = (REG_SZ, old_result.encode("utf-16-le"))
    assert run.start().status == 0xC000_0022
    assert not run.core.calls


def test_a_cpu_without_no_execute() -> None:
    Run(CpuModel(no_execute=False)).start().failed(
        NOT_SUPPORTED,
        "no hypervisor: this CPU lacks a virtualization feature that zpp needs (no-execute pages)",
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda elf: b"\x7fELG" + elf[4:],
        lambda elf: elf[:16] + b"\x02\x00" + elf[18:],  # ET_EXEC
        lambda elf: elf[:54] + b"\x39" + elf[55:],  # e_phentsize
    ],
)
def test_a_core_that_is_damaged(damage: Callable[[bytes], bytes]) -> None:
    elf = (build_directory() / "hypervisor.elf").read_bytes()

    def tamper(file: bytes) -> bytes:
        assert file.count(elf) == 1
        return file.replace(elf, damage(elf))

    run = Run(tamper=tamper).start()
    run.failed(
        INVALID_IMAGE_FORMAT, "no hypervisor: hypervisor.elf is damaged or not for this loader"
    )


def maybe(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | strategy


FAULTS = st.builds(
    Faults,
    pages_in_a_row=st.integers(1, 900) | st.just(1 << 40),
    free_pages=st.integers(0, 1200) | st.just(1 << 40),
    no_number_for=maybe(st.integers(0, 9)),
    unreachable=maybe(st.integers(0, 9)),
    added_after=maybe(st.integers(1, 9)),
)


@given(
    groups=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    faults=FAULTS | st.just(Faults()),
    amd=st.booleans(),
    prepared=st.sampled_from((0, 0, 0, 0, LOCKED)),
    failing=maybe(st.integers(0, 9)),
    commit=st.sampled_from((0, 0, 0, 4)),
)
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_all_or_nothing(
    groups: tuple[int, ...],
    faults: Faults,
    amd: bool,
    prepared: int,
    failing: int | None,
    commit: int,
) -> None:
    """Whatever fails: every CPU is virtualized and the memory stays allocated, or neither."""
    run = Run(CpuModel(vmx=not amd, svm=amd), groups, faults)
    run.core.prepared = prepared
    run.core.launched = lambda cpu: ENTRY if cpu == failing else 0
    run.core.commit = commit
    run.start()
    if run.status == LAUNCHED:
        assert run.machine.virtualized == set(range(sum(groups)))
        assert run.core.info is not None
        assert run.memory_pages == run.core.info.total_pages
        assert run.core.committed
    else:
        assert run.result.startswith("no hypervisor: ")
        assert not run.machine.virtualized
        assert run.memory_pages == 0
        assert not run.core.committed

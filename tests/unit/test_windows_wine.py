"""The Windows driver's own objects, started by `sc start` on Wine's kernel, with a stub core.

Under Wine a driver runs in user mode: tests/windows/ has stubs for privileged operations and for
the functions that Wine lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from windows_run import build_directory
from wine import Start, Wine

pytestmark = pytest.mark.slow

SERVICE = "zpp_wine"
CPUS = 4
CONFIRM, COMMIT = 6, 7
PREPARE_FAILS, LAUNCH_FAILS, CPU_STUCK = 0x1000, 0x2000, 0x3000  # tests/windows/stub_core.c


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    driver = build_directory() / "windows/tests/zpp_wine.sys"
    wine = Wine(tmp_path_factory.mktemp("wine"))
    try:
        wine.create(SERVICE, driver)
        yield wine
    finally:
        wine.stop()


def start(wine: Wine, port: int) -> Start:
    wine.set_number(SERVICE, "SerialPort", port)
    return wine.start(SERVICE)


def visits(result: Start) -> list[int]:
    return [int(m.split()[-1]) for m in result.messages if m.startswith("test: on CPU")]


def allocated_and_freed(result: Start) -> tuple[list[str], list[str]]:
    allocated = [m.split()[-1] for m in result.messages if m.startswith("test: allocated")]
    freed = [m.split()[-1] for m in result.messages if m.startswith("test: freed")]
    return allocated, freed


def test_success_is_insufficient_power(wine: Wine) -> None:
    result = wine.start(SERVICE)  # with the build's settings
    assert (result.status, result.error) == (0xC000_02DE, 639)
    text = f"zpp runs on {CPUS} CPUs with Intel VT-x"
    assert wine.value(SERVICE, "Result") == text
    assert result.messages[-1] == f"zpp: {text}"
    # APIC IDs, prepare, launch, commit
    assert visits(result) == [*range(CPUS), 0, *range(CPUS), 0]
    calls = [m for m in result.messages if m.startswith("test: hypercall")]
    assert calls == [
        *(f"test: hypercall {CONFIRM} on CPU {cpu}" for cpu in range(CPUS)),
        f"test: hypercall {COMMIT} on CPU 0",
    ]
    allocated, freed = allocated_and_freed(result)
    assert len(allocated) > 1
    assert not freed


# enum zpp_status → NTSTATUS, Windows' error, the beginning of the reason: docs/how-to/windows.md
FAILURES = (
    (1, 0xC000_007B, 193, "hypervisor.elf is damaged or not for this loader"),
    (2, 0xC000_0059, 1306, "the loader and hypervisor.elf have different versions"),
    (3, 0xC000_009A, 1450, "not enough memory for the hypervisor"),
    (4, 0xC000_00BB, 50, "this CPU has neither VT-x nor AMD-V"),
    (5, 0xC000_0429, 775, "the firmware has locked virtualization off"),
    (6, 0x8000_0011, 170, "another hypervisor already uses this CPU's virtualization"),
    (7, 0xC000_00BB, 50, "this CPU lacks a virtualization feature that zpp needs"),
    (8, 0xC000_0001, 31, "the CPU refused the VM entry"),
    (9, 0xC000_0184, 22, "the hypervisor was called out of order"),
)


@pytest.mark.parametrize(("number", "status", "error", "reason"), FAILURES)
def test_each_failure(wine: Wine, number: int, status: int, error: int, reason: str) -> None:
    result = start(wine, PREPARE_FAILS | number)
    assert (hex(result.status), result.error) == (hex(status), error)
    text = wine.value(SERVICE, "Result")
    assert text.startswith(f"no hypervisor: {reason}")
    assert result.messages[-1] == f"zpp: {text}"
    allocated, freed = allocated_and_freed(result)
    assert freed == list(reversed(allocated))
    assert len(allocated) > 1


def test_rollback(wine: Wine) -> None:
    result = start(wine, LAUNCH_FAILS | 8)
    assert (result.status, result.error) == (0xC000_0001, 31)
    assert visits(result) == [*range(CPUS), 0, *range(CPUS), *reversed(range(CPUS - 1))]
    done = [m for m in result.messages if m.endswith("devirtualized")]
    assert done == [f"test: CPU {cpu} devirtualized" for cpu in (2, 1, 0)]
    allocated, freed = allocated_and_freed(result)
    assert freed == list(reversed(allocated))


def test_a_cpu_that_stays_virtualized_keeps_the_memory(wine: Wine) -> None:
    result = start(wine, CPU_STUCK | 1)
    assert (result.status, result.error) == (0xC000_00E5, 1359)
    assert "test: CPU 0 devirtualized" in result.messages
    assert allocated_and_freed(result)[1] == []
    assert "memory stays allocated" in wine.value(SERVICE, "Result")


def test_an_invalid_setting(wine: Wine) -> None:
    result = start(wine, 0x1_0000)
    assert (result.status, result.error) == (0xC000_000D, 87)
    assert visits(result) == []
    assert re.search("SerialPort.* not valid", wine.value(SERVICE, "Result"))

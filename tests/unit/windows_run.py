"""Runs DriverEntry of the built zpp_loader.sys on an emulated Windows kernel."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pefile
import pytest
from windows_core import Core
from windows_kernel import Faults, Kernel
from windows_machine import CpuModel, Machine, load_image

from efi_image.config.environment import load


def build_directory() -> Path:
    """The folder with the driver; skips the test if BUILD_DRIVERS does not include it."""
    config = load()
    if "windows" not in config.build_drivers:
        pytest.skip("BUILD_DRIVERS does not name windows")
    return config.build_directory


@dataclass
class Run:
    """A machine, its Windows kernel and the driver."""

    model: CpuModel = field(default_factory=CpuModel)
    groups: tuple[int, ...] = (2,)
    faults: Faults = field(default_factory=Faults)
    registry: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    power: dict[str, tuple[int, bytes]] | None = None
    tamper: Callable[[bytes], bytes] | None = None  # of the driver's file

    status: int = 0

    def __post_init__(self) -> None:
        build = build_directory()
        file = (build / "zpp_loader.sys").read_bytes()
        pe = pefile.PE(data=self.tamper(file) if self.tamper else file)
        # APIC IDs that differ from the CPUs' indices
        apic_ids = tuple(2 * cpu + 4 for cpu in range(sum(self.groups)))
        self.machine = Machine(self.model, apic_ids)
        self.kernel = Kernel(self.machine, self.groups, self.faults, self.registry)
        self.kernel.power = self.power
        self.core = Core(self.machine, Core.file(build))
        self.entry = load_image(self.machine, pe, self.kernel.resolve)
        text = next(s for s in pe.sections if s.Name.startswith(b".text"))
        where = pe.OPTIONAL_HEADER.ImageBase + text.VirtualAddress
        self.core.attach(text.get_data(), where)
        self.machine.watch_control_registers(text.get_data(), where)

    def start(self) -> Run:
        """Calls DriverEntry as the I/O manager does; `status` is its result."""
        machine, kernel = self.machine, self.kernel
        name = kernel.service_key.encode("utf-16-le")
        at = machine.new_page()
        key = 0xFFFF_9A7F_0000_0000
        machine.map(key, at, 1, 1 << 63)
        machine.uc.mem_write(at, struct.pack("<HH4xQ", len(name), len(name), key + 16) + name)
        self.status = machine.call(self.entry, 0xFFFF_9A7E_0000_0000, key)
        self.check_nothing_leaks()
        return self

    def check_nothing_leaks(self) -> None:
        """Checks what must hold after any result."""
        assert not self.kernel.pool
        assert not self.kernel.handles
        assert not self.kernel.affinities
        assert self.machine.register("EFLAGS") & 0x200, "interrupts are off"
        assert self.machine.register("CR3") == self.machine.os_cr3
        assert self.machine.gdt == self.machine.tables_of(self.machine.cpu)
        assert self.status >= 1 << 31, "Windows would keep the driver"
        assert self.kernel.printed == [f"zpp: {self.result}\n"]

    @property
    def result(self) -> str:
        """The value Result of the service's key."""
        kind, data = self.kernel.registry["Result"]
        assert kind == 1
        text = data.decode("utf-16-le")
        assert text.endswith("\0")
        return text[:-1]

    @property
    def memory_pages(self) -> int:
        return sum(pages for _, pages in self.kernel.contiguous.values())

    def failed(self, status: int, result: str) -> None:
        """Checks that the machine is unchanged, and the status and the reason."""
        assert (f"{self.status:#x}", self.result) == (f"{status:#x}", result)
        assert not self.machine.virtualized
        assert self.memory_pages == 0
        assert not self.core.committed

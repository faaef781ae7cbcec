"""The functions of the Windows kernel that the driver calls, for windows_machine.Machine.

Each checks its arguments as the kernel's reference describes them; a function that is not here
cannot be imported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from windows_machine import FUNCTIONS, HIGH_RAM, HIGH_RAM_SIZE, NO_EXECUTE, PAGE, WRITABLE, Machine

POOL = 0xFFFF_9A80_0000_0000
CONTIGUOUS = 0xFFFF_D980_0000_0000
ALL_PROCESSOR_GROUPS = 0xFFFF
NON_PAGED_POOL_NX = 512
PAGE_READWRITE = 4
ANY_NODE = 0x8000_0000
REG_SZ, REG_DWORD = 1, 4
KEY_QUERY_VALUE, KEY_SET_VALUE = 1, 2
PARTIAL_INFORMATION = 2
POWER_KEY = r"\Registry\Machine\System\CurrentControlSet\Control\Session Manager\Power"

SUCCESS = 0
BUFFER_OVERFLOW = 0x8000_0005
INVALID_PARAMETER = 0xC000_000D
NAME_NOT_FOUND = 0xC000_0034


@dataclass
class Faults:
    """The faults to simulate."""

    pool: bool = False  # no pool memory
    pages_in_a_row: int = 1 << 40  # the longest contiguous run of free memory
    free_pages: int = 1 << 40  # in total
    key: int = SUCCESS  # the status of opening the service's key
    no_number_for: int | None = None  # a CPU whose number the kernel does not give
    unreachable: int | None = None  # a CPU that no thread can move to
    added_after: int | None = None  # a CPU is added after so many were launched


@dataclass
class Kernel:
    """The kernel's state, including what the driver has allocated."""

    machine: Machine
    groups: tuple[int, ...]  # active CPUs of each processor group
    faults: Faults = field(default_factory=Faults)
    registry: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    service_key: str = r"\Registry\Machine\System\CurrentControlSet\Services\zpp_loader"
    power: dict[str, tuple[int, bytes]] | None = None  # the values of POWER_KEY; None: no such key

    pool: dict[int, int] = field(default_factory=dict)
    contiguous: dict[int, tuple[int, int]] = field(default_factory=dict)  # physical, pages
    handles: dict[int, int] = field(default_factory=dict)  # access
    values: dict[int, dict[str, tuple[int, bytes]]] = field(default_factory=dict)  # by handle
    printed: list[str] = field(default_factory=list)
    affinities: list[tuple[int, int]] = field(default_factory=list)  # to return to
    visits: list[int] = field(default_factory=list)
    _slots: dict[str, int] = field(default_factory=dict)
    _handed_out: int = 0

    def resolve(self, name: str) -> int:
        """The address of a function, for the import table."""
        function: Callable[[], int | None] | None = getattr(self, name, None)
        assert function is not None, f"the driver imports {name}, which this kernel has not"
        if name not in self._slots:
            self._slots[name] = FUNCTIONS + 16 * len(self._slots)
            self.machine.on_code(self._slots[name], lambda: self._call(function))
        return self._slots[name]

    def _call(self, function: Callable[[], int | None]) -> None:
        result = function()
        self.machine.set_register("RAX", 0xDEAD_BEEF if result is None else result)

    # ---- arguments

    def _address(self, index: int) -> int:
        return self.machine.argument(index)

    def _number(self, index: int) -> int:
        return self.machine.argument(index) & 0xFFFF_FFFF

    def _text(self, address: int) -> str:
        data = b""
        while not data.endswith(b"\0"):
            data += self.machine.read(address + len(data), 1)
        return data[:-1].decode("ascii")

    def _unicode_string(self, address: int) -> str:
        length, maximum, buffer = struct.unpack("<HH4xQ", self.machine.read(address, 16))
        assert length <= maximum
        return self.machine.read(buffer, length).decode("utf-16-le")

    # ---- CPUs

    @property
    def cpus(self) -> int:
        return sum(self.groups)

    def place_of(self, cpu: int) -> tuple[int, int]:
        """Group, and number in it."""
        for group, count in enumerate(self.groups):
            if cpu < count:
                return group, cpu
            cpu -= count
        raise AssertionError

    def KeQueryActiveProcessorCountEx(self) -> int:  # noqa: N802
        assert self._number(0) & 0xFFFF == ALL_PROCESSOR_GROUPS
        after = self.faults.added_after
        added = after is not None and len(self.machine.virtualized) >= after
        return self.cpus + added

    def KeGetProcessorNumberFromIndex(self) -> int:  # noqa: N802
        index = self._number(0)
        if index >= self.cpus or index == self.faults.no_number_for:
            return INVALID_PARAMETER
        self.machine.write(self._address(1), struct.pack("<HBB", *self.place_of(index), 0))
        return SUCCESS

    def KeGetCurrentProcessorNumberEx(self) -> int:  # noqa: N802
        if self._address(0):
            place = self.place_of(self.machine.cpu)
            self.machine.write(self._address(0), struct.pack("<HBB", *place, 0))
        return self.machine.cpu

    def KeSetSystemGroupAffinityThread(self) -> None:  # noqa: N802
        mask, group, *reserved = struct.unpack("<QH3H", self.machine.read(self._address(0), 16))
        assert not any(reserved)
        assert mask.bit_count() == 1
        place = (group, mask.bit_length() - 1)
        self.affinities.append(self.place_of(self.machine.cpu))
        before = struct.pack("<QHHHH", 0, 0, 0, 0, 0)
        if self._address(1):
            self.machine.write(self._address(1), before)
        cpu = next(c for c in range(self.cpus) if self.place_of(c) == place)
        if cpu != self.faults.unreachable:
            self.visits.append(cpu)
            self.machine.move_to(cpu)

    def KeRevertToUserGroupAffinityThread(self) -> None:  # noqa: N802
        assert self.machine.read(self._address(0), 16) == bytes(16)
        self.affinities.pop()

    # ---- memory

    def ExAllocatePoolWithTag(self) -> int:  # noqa: N802
        assert self._number(0) == NON_PAGED_POOL_NX
        size, tag = self._address(1), self._number(2)
        assert tag == int.from_bytes(b"zpp1", "little")
        if self.faults.pool:
            return 0
        pages = -(-size // PAGE) + 1
        address = POOL + self.machine.new_page() * 16
        self.machine.map(address, self.machine.new_page(pages), pages, WRITABLE | NO_EXECUTE)
        self.machine.write(address, b"\xa5" * size)  # pool memory is not zeroed
        self.pool[address] = pages
        return address

    def ExFreePoolWithTag(self) -> None:  # noqa: N802
        pages = self.pool.pop(self._address(0))
        assert self._number(1) == int.from_bytes(b"zpp1", "little")
        self.machine.map(self._address(0), 0, pages, -1)

    def MmAllocateContiguousNodeMemory(self) -> int:  # noqa: N802
        size, lowest, highest, boundary = (self._address(i) for i in range(4))
        protect, node = self._number(4), self._number(5)
        assert size % PAGE == 0
        assert size > 0
        assert lowest < highest == (1 << 64) - 1
        assert (boundary, protect, node) == (0, PAGE_READWRITE, ANY_NODE)
        pages = size // PAGE
        free = self.faults.free_pages - sum(pages for _, pages in self.contiguous.values())
        if pages > min(self.faults.pages_in_a_row, free):
            return 0
        # from the end of memory; no two ranges are adjacent
        address = CONTIGUOUS + self._handed_out
        self._handed_out += size + PAGE
        physical = HIGH_RAM + HIGH_RAM_SIZE - self._handed_out
        assert physical >= HIGH_RAM
        self.machine.uc.mem_write(physical, b"\xa5" * size)
        self.machine.map(address, physical, pages, WRITABLE | NO_EXECUTE)
        self.contiguous[address] = (physical, pages)
        return address

    def MmFreeContiguousMemory(self) -> None:  # noqa: N802
        address = self._address(0)
        _, pages = self.contiguous.pop(address)
        assert not self.machine.virtualized, "the memory of a virtualized CPU is freed"
        self.machine.map(address, 0, pages, -1)

    def MmGetPhysicalAddress(self) -> int:  # noqa: N802
        return self.machine.physical(self._address(0))

    # ---- registry

    def RtlInitUnicodeString(self) -> None:  # noqa: N802
        data, source = b"", self._address(1)
        while data[-2:] != b"\0\0" or len(data) % 2:
            data += self.machine.read(source + len(data), 2)
        header = struct.pack("<HH4xQ", len(data) - 2, len(data), source)
        self.machine.write(self._address(0), header)

    def ZwOpenKey(self) -> int:  # noqa: N802
        attributes = self.machine.read(self._address(2), 48)
        length, root, name, flags = struct.unpack_from("<I4xQQI", attributes)
        assert (length, root, flags & 0x200) == (48, 0, 0x200)  # OBJ_KERNEL_HANDLE
        key = self._unicode_string(name)
        assert key in (self.service_key, POWER_KEY)
        values = self.power if key == POWER_KEY else self.registry
        if values is None:
            return NAME_NOT_FOUND
        if self.faults.key:
            return self.faults.key
        handle = 0xFFFF_FFFF_8000_0000 + 4 * (len(self.handles) + 1)
        self.handles[handle] = self._number(1)
        self.values[handle] = values
        self.machine.write(self._address(0), struct.pack("<Q", handle))
        return SUCCESS

    def ZwClose(self) -> int:  # noqa: N802
        del self.handles[self._address(0)]
        return SUCCESS

    def ZwQueryValueKey(self) -> int:  # noqa: N802
        assert self.handles[self._address(0)] & KEY_QUERY_VALUE
        assert self._number(2) == PARTIAL_INFORMATION
        value = self.values[self._address(0)].get(self._unicode_string(self._address(1)))
        if value is None:
            return NAME_NOT_FOUND
        kind, data = value
        information = struct.pack("<III", 0, kind, len(data)) + data
        space = self._number(4)
        self.machine.write(self._address(5), struct.pack("<I", len(information)))
        self.machine.write(self._address(3), information[:space])
        return BUFFER_OVERFLOW if len(information) > space else SUCCESS

    def ZwSetValueKey(self) -> int:  # noqa: N802
        assert self.handles[self._address(0)] & KEY_SET_VALUE
        name = self._unicode_string(self._address(1))
        data = self.machine.read(self._address(4), self._number(5))
        self.registry[name] = (self._number(3), data)
        return SUCCESS

    # ---- messages

    def DbgPrintEx(self) -> int:  # noqa: N802
        component, level = self._number(0), self._number(1)
        assert (component, level) == (77, 0)  # DPFLTR_IHVDRIVER_ID, DPFLTR_ERROR_LEVEL
        form = self._text(self._address(2))
        assert form.count("%") == form.count("%s") == 1
        self.printed.append(form.replace("%s", self._text(self._address(3))))
        return SUCCESS

"""The core as gdb sees it: where it is, its symbols, its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gdb

from . import elf
from .layout import BOOT_INFO_SIZE, Layout

_MOST_FRAMES = 64


def number(expression: str) -> int:
    """An expression's value; addresses and registers are 64 bits without a sign."""
    return int(gdb.parse_and_eval(expression)) & (1 << 64) - 1


def machine() -> gdb.InferiorThread:
    """The selected CPU; NoCore before gdb is connected."""
    selected = gdb.selected_thread()
    if selected is None:
        raise elf.NoCore("no machine: `target remote HOST:PORT` comes first")
    return selected


def read_mapped(address: int, size: int) -> bytes:
    """Memory as the selected CPU has it mapped; LookupError where it is not."""
    try:
        return gdb.selected_inferior().read_memory(address, size).tobytes()
    except gdb.MemoryError:
        raise LookupError(f"{address:#x} cannot be read") from None


class Core:
    """One boot of the core: forgotten when it is found elsewhere."""

    def __init__(self, symbols: Path, sources: Path) -> None:
        self.symbols = symbols
        self._sources = sources
        self._base: int | None = None
        self._text = self._size = 0
        self._layout: Layout | None = None

    # ---- where it is

    def find(self, symbols: Path) -> None:
        """Finds the core behind an instruction pointer, that of the selected CPU first, and loads
        its symbols; selects that CPU."""
        self.symbols = symbols
        base = self._find_base()
        elf.check_build(read_mapped, base, symbols)
        self.load_symbols(base)
        self._layout = None

    def _find_base(self) -> int:
        selected = machine()
        others = [t for t in gdb.selected_inferior().threads() if t.num != selected.num]
        first: elf.NoCore | None = None
        for thread in (selected, *sorted(others, key=lambda t: t.num)):
            thread.switch()
            try:
                base = elf.find_base(read_mapped, number("$rip"))
            except elf.NoCore as error:
                first = first or error
            else:
                return base
        selected.switch()
        assert first is not None
        raise first

    def load_symbols(self, base: int) -> None:
        """Symbols at `base`; breakpoints in the code are hardware breakpoints from then on."""
        if self._base == base:
            return
        if self._base is not None:
            gdb.execute(f"remove-symbol-file -a {self._text:#x}", to_string=True)
        self._size = elf.image_size(elf.file_reader(self.symbols), 0)
        start, end = elf.code_range(elf.file_reader(self.symbols))
        gdb.execute(f'add-symbol-file "{self.symbols}" -o {base:#x}', to_string=True)
        gdb.execute(f'directory "{self._sources}"', to_string=True)
        # gdb takes hardware breakpoints by itself where memory is read-only
        gdb.execute("set mem inaccessible-by-default off")
        gdb.execute("delete mem")
        gdb.execute(f"mem {base + start:#x} {base + end:#x} ro")
        self._base, self._text = base, base + start

    @property
    def base(self) -> int:
        """Where the ELF header is; NoCore before `find`."""
        if self._base is None:
            raise elf.NoCore("the core is not known yet: zstartl or zwait comes first")
        return self._base

    def check_build(self) -> None:
        """NoCore unless the symbols are those of the core, in which the selected CPU is."""
        elf.check_build(read_mapped, self.base, self.symbols)

    def is_here(self) -> bool:
        """Whether the selected CPU runs the core."""
        return self.holds(number("$rip"))

    def holds(self, address: int) -> bool:
        """Whether an address is in the core's image."""
        return self.base <= address < self.base + self._size

    # ---- its memory

    @property
    def layout(self) -> Layout:
        """From boot_info; it is read when a CPU runs the core, and kept."""
        if self._layout is None:
            self._layout = self._read_layout()
        return self._layout

    def _read_layout(self) -> Layout:
        with self.selected_in_core():
            address = number("(unsigned long)&zpp::machine")
            try:
                info = int.from_bytes(read_mapped(address, 8), "little")
                return Layout.parse(read_mapped(info, BOOT_INFO_SIZE))
            except (LookupError, ValueError):
                raise elf.NoCore("the core has not begun to prepare: step on") from None

    @contextmanager
    def selected_in_core(self) -> Iterator[None]:
        """A CPU that runs the core, selected for a while; NoCore if none does."""
        selected = machine()
        for thread in (selected, *gdb.selected_inferior().threads()):
            thread.switch()
            if self.is_here():
                break
        else:
            selected.switch()
            raise elf.NoCore("no CPU is in the core: zwait stops at the next VM exit")
        try:
            yield
        finally:
            selected.switch()

    def read(self, address: int, size: int) -> bytes:
        """The core's own memory, at a host-virtual address, wherever the CPUs are."""
        layout = self.layout
        try:
            with self.selected_in_core():
                return read_mapped(address, size)
        except elf.NoCore:
            pass
        data = b""
        while len(data) < size:
            part = min(size - len(data), elf.PAGE - (address + len(data)) % elf.PAGE)
            data += read_physical(layout.physical_of(address + len(data)), part)
        return data

    def entry(self, physical: int) -> int:
        """8 bytes of the core's memory at a host-physical address."""
        return int.from_bytes(self.read(self.layout.virtual_of(physical), 8), "little")

    def value(self, type_name: str, address: int) -> gdb.Value:
        """An object of the core as gdb prints it."""
        kind = gdb.lookup_type(type_name)
        return gdb.Value(self.read(address, kind.sizeof), kind)

    def object(self, name: str) -> gdb.Value:
        """A global of the core, by its full name."""
        return gdb.Value(self.bytes_of(name), self._pointer_to(name).type.target())

    def bytes_of(self, name: str) -> bytes:
        """The bytes of a global of the core."""
        pointer = self._pointer_to(name)
        return self.read(int(pointer) & (1 << 64) - 1, pointer.type.target().sizeof)

    def _pointer_to(self, name: str) -> gdb.Value:
        _ = self.base  # NoCore before `find`: there are no symbols yet
        return gdb.parse_and_eval(f"&'{name}'")

    def frames(self) -> int:
        """How many frames of the selected CPU are the core's: behind them is the loader."""
        count = 0
        frame: gdb.Frame | None = gdb.newest_frame()
        while frame is not None and self.holds(frame.pc()) and count < _MOST_FRAMES:
            count, frame = count + 1, frame.older()
        return count

    def in_debugger_wait(self) -> bool:
        """Whether the selected CPU waits for `gdb_attached`."""
        frame: gdb.Frame | None = gdb.newest_frame()
        while frame is not None and "wait_for_debugger" not in (frame.name() or ""):
            frame = frame.older()
        if frame is not None:
            frame.select()
        return frame is not None


@contextmanager
def _physical_mode() -> Iterator[None]:
    gdb.execute("maintenance packet Qqemu.PhyMemMode:1", to_string=True)
    try:
        yield
    finally:
        gdb.execute("maintenance packet Qqemu.PhyMemMode:0", to_string=True)


def read_physical(address: int, size: int) -> bytes:
    """The machine's memory, past the CPU's page tables: only QEMU's server can do that."""
    mode = gdb.execute("maintenance packet qqemu.PhyMemMode", to_string=True)
    if 'received: "0"' not in mode:
        raise elf.NoCore("no CPU is in the core, and this GDB server reads no physical memory")
    with _physical_mode():
        return read_mapped(address, size)

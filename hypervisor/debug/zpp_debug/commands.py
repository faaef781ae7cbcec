"""The commands: each a thin layer over target and decode. `install` makes them known to gdb."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gdb

from . import decode, guest
from .elf import NoCore
from .layout import CORE_BASE
from .nested import NAMES, Kind, walk
from .target import Core, machine, number

ENTRY = "zpp_core_entry"
# where the core is entered: by the loader, and at a VM exit of either vendor
ENTRANCES = (ENTRY, "zpp_svm_on_fast_exit", "zpp_vmx_on_fast_exit")
# a CPUID of the guest is in one of them: leaves that the core changes, and all others
CPUID_HANDLERS = ("zpp::emulate_cpuid", "zpp::fast_cpuid")


class Command(gdb.Command):
    """A command whose failure is one line."""

    def __init__(self, name: str, text: str, run: Callable[[list[str]], None]) -> None:
        self.__doc__ = text
        self._name, self._run = name, run
        super().__init__(name, gdb.COMMAND_USER)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Called by gdb."""
        try:
            machine()
            self._run(gdb.string_to_argv(argument))
        except (NoCore, LookupError, gdb.error) as error:
            raise gdb.GdbError(f"{self._name}: {error}") from None


def say(*lines: str) -> None:
    for line in lines:
        gdb.write(f"{line}\n")


def _cpu(core: Core, arguments: list[str]) -> int:
    """The CPU that a command is about: its argument, or the selected one."""
    if not arguments:
        return gdb.selected_thread().num - 1 if not core.is_here() else guest.this_cpu(core)
    text = arguments[0]
    if len(arguments) > 1 or not text.isdecimal() or int(text) >= core.layout.cpus:
        raise NoCore(f"expected the number of a CPU, 0 to {core.layout.cpus - 1}")
    return int(text)


class Commands:
    """What the commands do, for one core."""

    def __init__(self, core: Core, linux: Path, windows: Path) -> None:
        self._core, self._linux, self._windows = core, linux, windows

    # ---- finding the core

    def start_linux(self, _arguments: list[str]) -> None:
        self._start(self._linux)

    def start_windows(self, _arguments: list[str]) -> None:
        self._start(self._windows)

    def _start(self, symbols: Path) -> None:
        core = self._core
        core.find(symbols)
        say(f"zpp: the core is at {core.base:#x}, symbols from {symbols}")
        with core.selected_in_core():
            gdb.execute("set variable gdb_attached = 1")
            waits = core.in_debugger_wait()
        # gdb says by itself where it stops
        gdb.execute("finish" if waits else "frame")

    def wait(self, _arguments: list[str]) -> None:
        """Lets the machine run until a CPU enters the core, without changing the core."""
        core = self._core
        core.load_symbols(CORE_BASE)
        stops = [gdb.Breakpoint(name, gdb.BP_HARDWARE_BREAKPOINT, internal=True)
                 for name in ENTRANCES]  # fmt: skip
        try:
            gdb.execute("continue")
        finally:
            for stop in stops:
                stop.delete()
        if not core.is_here():
            raise NoCore(f"stopped at {number('$rip'):#x}, which is not in the core")
        core.check_build()

    def cpuid(self, _arguments: list[str]) -> None:
        """Sets breakpoints where each CPUID of the guest is handled."""
        _ = self._core.base  # NoCore before the symbols are loaded
        for name in CPUID_HANDLERS:
            gdb.execute(f"break {name}")
        say("zpp: stops at each CPUID: those that the core changes, and those that it does not")

    # ---- looking at it

    def vcpu(self, arguments: list[str]) -> None:
        core = self._core
        if not arguments:
            say(*(decode.vcpu_line(core, index) for index in range(core.layout.cpus)))
            return
        index = _cpu(core, arguments)
        say(decode.vcpu_line(core, index), "last VM exits:", *decode.history(core, index))
        vcpu = core.value("zpp::Vcpu", core.layout.vcpu(index))
        for name in ("index", "apic_id", "launched", "nmi_pending"):
            say(f"{name} = {vcpu[name]}")
        if (state := decode.vendor_state(core, index)) is not None:
            say(*(f"{field.name} = {state[field]}" for field in state.type.fields()))

    def exits(self, arguments: list[str]) -> None:
        core = self._core
        every = [_cpu(core, arguments)] if arguments else range(core.layout.cpus)
        for index in every:
            say(f"CPU {index}", *decode.counters(core, index))

    def log(self, _arguments: list[str]) -> None:
        core = self._core
        address = int(core.object("zpp::log::(anonymous namespace)::record"))
        if not address:
            say("the log is empty")
            return
        record = core.value("zpp_log_record", address)
        written, size = int(record["written"]), record["text"].type.sizeof
        ring = core.read(address + record.type.sizeof - size, size)  # its last member
        at = written % len(ring)
        text = ring[:written] if written <= len(ring) else ring[at:] + ring[:at]
        say(*text.decode("ascii", "replace").splitlines())

    def control(self, arguments: list[str]) -> None:
        core = self._core
        index = _cpu(core, arguments)
        of = decode.vendor(core)
        if of == decode.SVM:
            say(f"CPU {index}: VMCB", *decode.vmcb_lines(decode.vmcb_of(core, index)))
        elif of == decode.VMX:
            shared = core.object("zpp::vmx::shared")
            say(f"CPU {index}: the VMCS is in the CPU; what the core knows of it:",
                shared.format_string(format="x"), "last VM exits:",
                *decode.history(core, index))  # fmt: skip
        else:
            raise NoCore("the core has not looked for VT-x and AMD-V yet")

    def npt(self, arguments: list[str]) -> None:
        self._walk(Kind.NPT, arguments)

    def ept(self, arguments: list[str]) -> None:
        self._walk(Kind.EPT, arguments)

    def _walk(self, kind: Kind, arguments: list[str]) -> None:
        core = self._core
        if len(arguments) != 1:
            raise NoCore("expected a guest-physical address")
        address = number(arguments[0])
        wanted = {decode.SVM: Kind.NPT, decode.VMX: Kind.EPT}.get(decode.vendor(core))
        if wanted is not kind:
            name = "zept" if kind is Kind.NPT else "znpt"
            raise NoCore(f"this machine has no {kind.value}" + (f": {name}" if wanted else " yet"))
        tables = core.object("zpp::guest_memory::(anonymous namespace)::tables")
        root = int(tables["root_"]) & (1 << 64) - 1
        if root == 0:
            raise NoCore("nested paging is not built yet")
        levels = int(tables["format_"]["levels"])
        say(f"{kind.value} of guest-physical {address:#x}:")
        for step in walk(kind, core.layout.physical_of(root), levels, address, core.entry):
            to = "" if step.target is None else f" -> {step.target:#x}"
            what = " page" if step.leaf else ""
            say(f"  {NAMES[step.level]:4} {step.index:3}: {step.value:#018x} "
                f"{step.access}{to}{what}")  # fmt: skip

    def backtrace(self, _arguments: list[str]) -> None:
        core = self._core
        if not core.is_here():
            raise NoCore(f"{number('$rip'):#x} is not in the core: `backtrace` shows the guest")
        # as a string: what gdb prints by itself would overwrite its text user interface
        say(*gdb.execute(f"backtrace {core.frames()}", to_string=True).splitlines())
        say(*guest.lines(core))


def install(symbols_linux: Path, symbols_windows: Path, sources: Path) -> None:
    """Makes the commands known to gdb, for the core whose symbols are in these files."""
    run = Commands(Core(symbols_linux, sources), symbols_linux, symbols_windows)
    for name, text, function in (
        ("zstartl", "Find the core, load its symbols (Linux paths), and continue.",
         run.start_linux),
        ("zstartw", "Find the core, load its symbols (Windows paths), and continue.",
         run.start_windows),
        ("zwait", "Continue until a CPU enters the core, by its loader or by a VM exit.",
         run.wait),
        ("zcpuid", "Stop at each CPUID of the guest: in the handler, and on the fast path.",
         run.cpuid),
        ("zvcpu", "zvcpu [CPU]: the core's state of all CPUs, or more of one.", run.vcpu),
        ("zexits", "zexits [CPU]: counters of VM exits.", run.exits),
        ("zlog", "The core's log.", run.log),
        ("zcontrol", "zcontrol [CPU]: the VMCB; for VT-x what is known of the VMCS.",
         run.control),
        ("znpt", "znpt GPA: walk the nested page tables of AMD-V.", run.npt),
        ("zept", "zept GPA: walk the extended page tables of VT-x.", run.ept),
        ("zbt", "Backtrace of the core, across the exit stub into the guest.",
         run.backtrace),
    ):  # fmt: skip
        Command(name, text, function)

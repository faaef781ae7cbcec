"""The guest behind the exit stub: its registers where the stub has put them (*/entry.S)."""

from __future__ import annotations

import gdb

from . import decode
from .layout import BLOCK, CORE_BASE
from .target import Core, number

_SCRATCH = ("r11", "r10", "r9", "r8", "rdi", "rsi", "rbx", "rdx", "rcx", "rax")
_KEPT = ("rbp", "r12", "r13", "r14", "r15")
_ORDER = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12",
          "r13", "r14", "r15")  # fmt: skip
# bytes from the scratch registers to the end of the stub's frame
_STUBS = {"zpp_svm_run": 152, "zpp_vmx_exit": 80, "zpp_vmx_traced_exit": 80}
_MOST_FRAMES = 64


def this_cpu(core: Core) -> int:
    """The number of the selected CPU, which must be in the core: its stack tells."""
    return (number("$rsp") - CORE_BASE - core.layout.blocks_page * 4096) // BLOCK


def _stub() -> gdb.Frame | None:
    frame: gdb.Frame | None = gdb.newest_frame()
    for _ in range(_MOST_FRAMES):
        if frame is None or frame.name() in _STUBS:
            return frame
        frame = frame.older()
    return None


def _end_of_frame(frame: gdb.Frame) -> int:
    older = frame.older()
    if older is None:  # VT-x: the stub begins at the top of the stack
        return (number("$rsp") | BLOCK - 1) + 1
    return int(older.read_register("rsp"))


def registers(core: Core, frame: gdb.Frame) -> dict[str, int]:
    """The guest's general registers but RSP, as the handler has them now."""
    start = _end_of_frame(frame) - _STUBS[frame.name() or ""]
    data = core.read(start, len(_SCRATCH) * 8)
    found = {name: int.from_bytes(data[i * 8 : i * 8 + 8], "little")
             for i, name in enumerate(_SCRATCH)}  # fmt: skip
    for name in _KEPT:
        found[name] = int(frame.read_register(name)) & (1 << 64) - 1
    return found


def lines(core: Core) -> list[str]:
    """Where the guest left, and its registers; nothing if no exit is being handled."""
    frame = _stub()
    if frame is None or frame == gdb.newest_frame():
        return ["no VM exit is being handled"]
    cpu = this_cpu(core)
    found = registers(core, frame)
    text = [f"-- VM exit of CPU {cpu}'s guest --"]
    if decode.vendor(core) == decode.SVM:
        vmcb = decode.vmcb_of(core, cpu)
        found["rax"] = int(vmcb["rax"])
        code = int(vmcb["exit_code"])
        text.append(f"exit {code:#x} {decode.exit_name(decode.SVM, code)} at rip "
                    f"{int(vmcb['rip']):#x}, rsp {int(vmcb['rsp']):#x}, cs "
                    f"{int(vmcb['cs']['selector']):#x}, cr3 {int(vmcb['cr3']):#x}")  # fmt: skip
    shown = [f"{name:3} {found[name]:#018x}" for name in _ORDER]
    return text + ["  " + "  ".join(shown[i : i + 4]) for i in range(0, len(shown), 4)]

"""A tiny EFI program that prints a word, and then returns to the firmware, resets, or hangs."""

from __future__ import annotations

from enum import Enum

from makepe import make_pe

# x86-64; RCX is the image's handle, RDX the system table (UEFI 2.10, 4.3 and 8.5)
_PRINT = bytes.fromhex(
    "53"  # push rbx
    "4883ec20"  # sub rsp, 0x20
    "4889d3"  # mov rbx, rdx
    "488b4a40"  # mov rcx, [rdx+0x40]: ConOut
    "488d15"  # lea rdx, [rip+...]: the text
)
_CALL = bytes.fromhex("ff5108")  # call [rcx+8]: OutputString
_RETURN = bytes.fromhex(
    "b801000000"  # mov eax, 1
    "480fbae83f"  # bts rax, 63: EFI_LOAD_ERROR, so that the firmware tries the next disk
    "4883c420"  # add rsp, 0x20
    "5bc3"  # pop rbx; ret
)


def _reset(kind: int) -> bytes:
    return (
        bytes.fromhex("488b4358b9")  # mov rax, [rbx+0x58]: the runtime services; mov ecx, kind
        + kind.to_bytes(4, "little")
        + bytes.fromhex("31d24531c04531c9")  # xor edx, edx; xor r8d, r8d; xor r9d, r9d
        + bytes.fromhex("ff5068")  # call [rax+0x68]: ResetSystem
    )


class Ending(Enum):
    """What the program does when it has printed its word."""

    RETURN = _RETURN
    POWER_OFF = _reset(2)  # EfiResetShutdown
    RESET = _reset(0)  # EfiResetCold
    HANG = b"\xeb\xfe"  # jmp to itself


def code(word: str, ending: Ending = Ending.RETURN) -> bytes:
    """The program's code, which runs at any address."""
    after = _CALL + ending.value
    text = f"zpp-word:{word};\r\n".encode("utf-16-le") + b"\0\0"
    return _PRINT + len(after).to_bytes(4, "little") + after + text


def word_program(word: str, ending: Ending = Ending.RETURN) -> bytes:
    """The program as a PE file."""
    return make_pe(text=code(word, ending))

// The guest's general registers as the exit stubs push them, lowest address first. RSP is in the
// control block.
#pragma once
#include "lib/types.hpp"

namespace zpp {

// Those that a C++ function may clobber, and RBX, which CPUID writes.
struct ScratchRegisters {
    u64 r11, r10, r9, r8, rdi, rsi, rbx, rdx, rcx, rax;
};

struct GuestRegisters {
    u64 r15, r14, r13, r12, rbp;
    u64 r11, r10, r9, r8, rdi, rsi, rbx, rdx, rcx, rax;

    // The operand of WRMSR and XSETBV.
    u64 edx_eax() const { return static_cast<u32>(rax) | rdx << 32; }
    void set_edx_eax(u64 value)
    {
        rax = static_cast<u32>(value);
        rdx = value >> 32;
    }
};
static_assert(sizeof(GuestRegisters) == 15 * 8);
static_assert(sizeof(GuestRegisters) - offsetof(GuestRegisters, r11) == sizeof(ScratchRegisters));

// Index into GuestRegisters by register number, as instructions encode it: 0 = RAX ... 15 = R15.
constexpr u8 not_pushed = 0xff; // RSP
inline constexpr u8 register_position[16] = {14, 13, 12, 11, not_pushed, 4, 10, 9,
                                             8,  7,  6,  5,  3,          2, 1,  0};
static_assert(offsetof(GuestRegisters, rcx) == 13 * 8 && offsetof(GuestRegisters, rsi) == 10 * 8);

// nullptr for RSP.
inline u64* find_register(GuestRegisters& registers, unsigned number)
{
    const u8 position = register_position[number];
    return position == not_pushed ? nullptr : reinterpret_cast<u64*>(&registers) + position;
}

// nullptr for RSP, RBP and R12 to R15.
inline const u64* find_register(const ScratchRegisters& registers, unsigned number)
{
    constexpr u8 others = offsetof(GuestRegisters, r11) / 8;
    const u8 position = register_position[number];
    return position == not_pushed || position < others
               ? nullptr
               : reinterpret_cast<const u64*>(&registers) + position - others;
}

} // namespace zpp

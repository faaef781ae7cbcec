// The host's IDT (SDM Vol. 3A, 7.10). What the host does about an exception is in
// core/host_exceptions.cpp.
#pragma once
#include "lib/types.hpp"

namespace zpp::x86 {

constexpr u8 vector_divide_error = 0;
constexpr u8 vector_debug = 1;
constexpr u8 vector_nmi = 2;
constexpr u8 vector_undefined_opcode = 6;
constexpr u8 vector_double_fault = 8;
constexpr u8 vector_invalid_tss = 10;
constexpr u8 vector_segment_not_present = 11;
constexpr u8 vector_stack_fault = 12;
constexpr u8 vector_general_protection = 13;
constexpr u8 vector_page_fault = 14;
constexpr u8 vector_machine_check = 18;
constexpr u8 vector_control_protection = 21;
constexpr u8 vector_security = 30; // #SX, AMD

// #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC and #SX; exceptions.S has the same mask.
constexpr bool pushes_error_code(u8 vector)
{
    return vector < 32 && (0x60227d00 >> vector & 1) != 0;
}

// The stack frame that exceptions.S builds, lowest address first.
struct ExceptionFrame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error_code;
    u64 rip, cs, rflags, rsp, ss;
};
static_assert(sizeof(ExceptionFrame) == 22 * 8);

// If the fault is in a safe.hpp instruction: continues at its landing and returns true.
[[nodiscard]] bool fix_up(ExceptionFrame& frame);

// Fills the IDT, which all CPUs share. Call it once, before load_idt().
void build_idt();
void load_idt();
u64 idt_base();

// Unblocks NMIs in the host after a VM exit due to an NMI (SDM Vol. 3A, 7.7.1).
void unblock_nmi();

} // namespace zpp::x86

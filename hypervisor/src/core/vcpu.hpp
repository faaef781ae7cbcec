// One CPU of the machine and its guest context: the first page of the CPU's block (boot_info.h).
#pragma once
#include "lib/address.hpp"
#include "x86/apic.hpp"
#include "x86/segments.hpp"
#include "zpp/boot_info.h"

namespace zpp {

// General registers of the guest in the order the exit stubs push them, lowest address first: what
// a C++ function may change (and RBX, for CPUID), and all of them. RSP is in the control block.
struct ScratchRegisters {
    u64 r11, r10, r9, r8, rdi, rsi, rbx, rdx, rcx, rax;
};
struct GuestRegisters {
    u64 r15, r14, r13, r12, rbp;
    u64 r11, r10, r9, r8, rdi, rsi, rbx, rdx, rcx, rax;
};
static_assert(sizeof(GuestRegisters) == 15 * 8);
static_assert(sizeof(GuestRegisters) - offsetof(GuestRegisters, r11) == sizeof(ScratchRegisters));

struct alignas(page_size) Vcpu {
    static constexpr unsigned exit_counters = 192; // see exit_counter() of each vendor

    u32 index;
    bool launched;             // this CPU runs as a guest
    volatile bool nmi_pending; // an NMI waits for the guest to take it
    u64 nested_paging_generation;
    u32 failed_field;   // VMCS field that could not be read or written, 0 for none
    zpp_cpu_call* call; // not to be read after commit

    u64 exits[exit_counters];

    // The last exits before a crash: where the guest was and why it left.
    static constexpr unsigned history_length = 16;
    struct {
        u64 rip;
        u64 reason;
    } history[history_length];
    u32 history_next;

    x86::Tss tss;
    x86::Gdt gdt;

    // AMD-V: what the other CPUs have sent to this one.
    u32 startup;     // svm/startup.hpp
    bool kicked;     // an NMI is on its way that only means "look at startup"
    bool entered;    // the first VMRUN went well
    bool nmi_masked; // the guest is in its NMI handler
    u64 iret_rip;    // the IRET that ends it, until it has run
    ApicIdentity apic;

    // The windows: their page table entries, adjoining as the windows are, and what these hold.
    u64* window_entries;
    u64 window_targets[ZPP_CPU_WINDOWS];

    // The pages after this one: VMXON region and VMCS; or host save area, VMCB, and what VMSAVE
    // keeps for the host.
    void* control_block_1() { return this + 1; }
    void* control_block_2() { return this + 2; }
    void* control_block_3() { return this + 3; }
    void* window(unsigned number) { return this + ZPP_CPU_WINDOW_PAGE + number; }

    u64 fault_stack_top()
    {
        return reinterpret_cast<u64>(this) + (ZPP_CPU_FAULT_STACK_PAGE + 1) * page_size;
    }
    u64 stack_top() { return reinterpret_cast<u64>(this) + ZPP_CPU_BLOCK_SIZE; }
};
static_assert(sizeof(Vcpu) == page_size);

// The block is aligned to its size, so the stack pointer leads to it. Valid in all host code.
inline Vcpu& current_vcpu()
{
    u64 rsp;
    asm("mov %%rsp, %0" : "=r"(rsp));
    return *reinterpret_cast<Vcpu*>(rsp & ~(ZPP_CPU_BLOCK_SIZE - 1));
}

} // namespace zpp

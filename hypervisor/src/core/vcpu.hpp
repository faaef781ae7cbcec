// A CPU and its guest context. This is the first page of the CPU's block (boot_info.h).
#pragma once
#include "core/guest_registers.hpp"
#include "lib/address.hpp"
#include "x86/segments.hpp"
#include "zpp/boot_info.h"

namespace zpp {

struct alignas(page_size) Vcpu {
    static constexpr unsigned exit_counters = 192; // the last one is for all higher numbers

    u32 index;
    u32 apic_id;
    bool launched;                       // this CPU runs a guest
    volatile bool nmi_pending;           // for the guest
    volatile bool machine_check_pending; // for the guest
    bool cpuid_faults;                   // CPUID faulting: #GP above CPL 0
    bool stopped;                        // after a crash; see stop.hpp
    bool crashed_first;                  // it resets the machine
    u32 crashes;                         // of this CPU: 2 is a crash in its own report
    zpp_cpu_call* call;                  // invalid after commit
    void (*on_leaving_nmi)(Vcpu& vcpu);  // while being devirtualized: takes the next NMI

    // Number of exits by basic exit reason (VMX) or exit code (SVM).
    u64 exits[exit_counters];

    // The last exits, for a crash report.
    static constexpr unsigned history_length = 16;
    struct {
        u64 rip;
        u64 reason;
    } history[history_length];
    u32 history_next;

    x86::Tss tss;
    x86::Gdt gdt;

    // INIT and SIPI for this CPU; see apic/startup.cpp.
    struct {
        u32 state;
        bool kicked; // an NMI is pending that only means: look at `state`
        u32 logical_destination, destination_format; // of the xAPIC
        u64 seen_command;                            // the ICR when catch_up() last looked
    } startup;

    // The vendor's own state: vmx::state_of(), svm::state_of().
    alignas(8) u8 vendor_state[80];

    // Windows, pages that map guest memory for a moment: their page table entries, and the pages
    // that they map now.
    u64* window_entries;
    u64 window_targets[ZPP_CPU_WINDOWS];

    // The linear window (guest/linear_window.hpp), and the page table that maps it.
    u8* linear_window;
    u64* linear_entries;

    // The next pages of the block, for the vendor's control blocks.
    void* control_block_1() { return this + 1; }
    void* control_block_2() { return this + 2; }
    void* control_block_3() { return this + 3; }
    void* window(unsigned number) { return this + ZPP_CPU_WINDOW_PAGE + number; }

    void record_exit(u64 counter, u64 rip, u64 reason)
    {
        ++exits[counter < exit_counters ? counter : exit_counters - 1];
        history[history_next++ % history_length] = {rip, reason};
    }

    u64 fault_stack_top()
    {
        return reinterpret_cast<u64>(this) + (ZPP_CPU_FAULT_STACK_PAGE + 1) * page_size;
    }
    u64 stack_top() { return reinterpret_cast<u64>(this) + ZPP_CPU_BLOCK_SIZE; }
};
static_assert(sizeof(Vcpu) == page_size);

// The vendor's own state of a CPU. It starts as zeros.
template <class State> State& vendor_state_of(Vcpu& vcpu)
{
    static_assert(sizeof(State) <= sizeof vcpu.vendor_state && alignof(State) <= 8);
    return *reinterpret_cast<State*>(vcpu.vendor_state);
}
template <class State> const State& vendor_state_of(const Vcpu& vcpu)
{
    return vendor_state_of<State>(const_cast<Vcpu&>(vcpu));
}

// The stack is in the CPU's block, which is aligned to its size. Valid in all host code.
inline Vcpu& current_vcpu()
{
    u64 rsp;
    asm("mov %%rsp, %0" : "=r"(rsp));
    return *reinterpret_cast<Vcpu*>(rsp & ~(ZPP_CPU_BLOCK_SIZE - 1));
}

} // namespace zpp

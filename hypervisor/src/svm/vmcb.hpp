// The virtual machine control block (AMD APM Vol. 2, App. B).
#pragma once
#include "lib/types.hpp"
#include <cstddef>

namespace zpp::svm {

struct Segment {
    u16 selector;
    u16 attributes; // bits 55:52 and 47:40 of the descriptor, packed into 12 bits
    u32 limit;
    u64 base;
};
static_assert(sizeof(Segment) == 16);

struct Vmcb {
    u16 intercept_cr_reads, intercept_cr_writes;
    u16 intercept_dr_reads, intercept_dr_writes;
    u32 intercept_exceptions;
    u32 intercept_1; // of vector 3, from INTR on
    u32 intercept_2; // of vector 4, from VMRUN on
    u8 reserved_014[0x03c - 0x014];
    u16 pause_threshold, pause_count;
    u64 iopm_base;
    u64 msrpm_base;
    u64 tsc_offset;
    u32 asid;
    u8 tlb_control;
    u8 reserved_05d[3];
    u64 virtual_interrupt;
    u64 interrupt_state;
    u64 exit_code, exit_info_1, exit_info_2, exit_interrupt_info;
    u64 nested_paging;
    u8 reserved_098[0x0a8 - 0x098];
    u64 event_injection;
    u64 nested_cr3;
    u64 lbr_virtualization;
    u32 clean;
    u32 reserved_0c4;
    u64 next_rip;
    u8 fetched_count;
    u8 fetched[15];
    u8 reserved_0e0[0x400 - 0x0e0];

    Segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    u8 reserved_4a0[0x4cb - 0x4a0];
    u8 cpl;
    u32 reserved_4cc;
    u64 efer;
    u8 reserved_4d8[0x548 - 0x4d8];
    u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
    u8 reserved_580[0x5d8 - 0x580];
    u64 rsp;
    u64 s_cet, ssp, isst;
    u64 rax;
    u64 star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 cr2;
    u8 reserved_648[0x668 - 0x648];
    u64 pat;
    u64 debug_control;
    u8 reserved_678[0x1000 - 0x678];
};
static_assert(sizeof(Vmcb) == page_size);
static_assert(offsetof(Vmcb, intercept_1) == 0x00c);
static_assert(offsetof(Vmcb, msrpm_base) == 0x048);
static_assert(offsetof(Vmcb, asid) == 0x058);
static_assert(offsetof(Vmcb, exit_code) == 0x070);
static_assert(offsetof(Vmcb, nested_paging) == 0x090);
static_assert(offsetof(Vmcb, event_injection) == 0x0a8);
static_assert(offsetof(Vmcb, nested_cr3) == 0x0b0);
static_assert(offsetof(Vmcb, clean) == 0x0c0);
static_assert(offsetof(Vmcb, next_rip) == 0x0c8);
static_assert(offsetof(Vmcb, es) == 0x400);
static_assert(offsetof(Vmcb, tr) == 0x490);
static_assert(offsetof(Vmcb, cpl) == 0x4cb);
static_assert(offsetof(Vmcb, efer) == 0x4d0);
static_assert(offsetof(Vmcb, cr4) == 0x548);
static_assert(offsetof(Vmcb, rip) == 0x578);
static_assert(offsetof(Vmcb, rsp) == 0x5d8);
static_assert(offsetof(Vmcb, rax) == 0x5f8);
static_assert(offsetof(Vmcb, cr2) == 0x640);
static_assert(offsetof(Vmcb, pat) == 0x668);

// intercept_1 and intercept_2.
constexpr u32 intercept_nmi = 1u << 1;
constexpr u32 intercept_init = 1u << 3;
constexpr u32 intercept_vintr = 1u << 4;
constexpr u32 intercept_cpuid = 1u << 18;
constexpr u32 intercept_iret = 1u << 20;
constexpr u32 intercept_invd = 1u << 22;
constexpr u32 intercept_invlpga = 1u << 26;
constexpr u32 intercept_msr = 1u << 28;
constexpr u32 intercept_shutdown = 1u << 31;
constexpr u32 intercept_svm_instructions = 0x7f; // VMRUN to SKINIT

// virtual_interrupt: V_IRQ at the highest priority, whatever the guest's TPR.
constexpr u64 virtual_irq = bit(8) | u64{15} << 16 | bit(20);

constexpr u64 interrupt_shadow = bit(0); // interrupt_state

constexpr u8 tlb_flush_all = 1;

// Clean bits: what the CPU may keep from the last VMRUN.
constexpr u32 clean_intercepts = 1u << 0;
constexpr u32 clean_interrupt = 1u << 3; // TPR and V_IRQ
constexpr u32 clean_control_registers = 1u << 5;
constexpr u32 clean_debug_registers = 1u << 6;
constexpr u32 clean_all = 0xffffffff;

// A nested page fault's exit_info_1.
constexpr u64 fault_write = bit(1);

} // namespace zpp::svm

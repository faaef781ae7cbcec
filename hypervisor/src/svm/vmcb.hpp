// The virtual machine control block (AMD APM Vol. 2, App. B).
#pragma once
#include "x86/control_registers.hpp"
#include "x86/msr.hpp"
#include <cstddef>

namespace zpp {
namespace svm {

// From INTR on.
enum class InterceptVector3 : u32 {
    nmi = bit(1),
    smi = bit(2),
    init = bit(3),
    cr0_selective_write = bit(5), // of other bits than TS and MP
    cpuid = bit(18),
    iret = bit(20),
    invd = bit(22),
    invlpga = bit(26),
    ioio_prot = bit(27),
    msr_prot = bit(28),
    shutdown = bit(31),
};

// From VMRUN on.
enum class InterceptVector4 : u32 {
    svm_instructions = bits(6, 0), // VMRUN to SKINIT
};

// What the CPU may keep from the last VMRUN.
enum class Clean : u32 {
    intercepts = bit(0),
    tpr = bit(3), // and the other bits of VirtualInterrupt
    np = bit(4),  // nested_cr3
    crx = bit(5), // and EFER
    drx = bit(6),
    all = 0xffffffff,
};

// Offset 060h.
enum class VirtualInterrupt : u64 {
    v_nmi_pending = bit(11),
    v_nmi_mask = bit(12),
    v_nmi_enable = bit(26),
};

} // namespace svm

template <OneOf<svm::InterceptVector3, svm::InterceptVector4, svm::Clean, svm::VirtualInterrupt> T>
inline constexpr bool is_register<T> = true;

namespace svm {

struct Segment {
    u16 selector;
    u16 attributes; // bits 55:52 and 47:40 of the descriptor
    u32 limit;
    u64 base;
};
static_assert(sizeof(Segment) == 16);

struct Vmcb {
    u16 intercept_cr_reads, intercept_cr_writes;
    u16 intercept_dr_reads, intercept_dr_writes;
    u32 intercept_exceptions;
    InterceptVector3 intercept_vector_3;
    InterceptVector4 intercept_vector_4;
    u8 reserved_014[0x03c - 0x014];
    u16 pause_threshold, pause_count;
    u64 iopm_base;
    u64 msrpm_base;
    u64 tsc_offset;
    u32 asid;
    u8 tlb_control;
    u8 reserved_05d[3];
    VirtualInterrupt virtual_interrupt;
    u64 interrupt_state;
    u64 exit_code, exit_info_1, exit_info_2, exit_interrupt_info;
    u64 nested_controls;
    u8 reserved_098[0x0a8 - 0x098];
    u64 event_injection;
    u64 nested_cr3;
    u64 lbr_virtualization;
    Clean clean;
    u32 reserved_0c4;
    u64 next_rip;
    u8 fetched_count;
    u8 fetched[15];
    u8 reserved_0e0[0x400 - 0x0e0];

    Segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    u8 reserved_4a0[0x4cb - 0x4a0];
    u8 cpl;
    u32 reserved_4cc;
    x86::Efer efer;
    u8 reserved_4d8[0x548 - 0x4d8];
    x86::Cr4 cr4;
    u64 cr3;
    x86::Cr0 cr0;
    u64 dr7;
    x86::Dr6 dr6;
    x86::Rflags rflags;
    u64 rip;
    u8 reserved_580[0x5d8 - 0x580];
    u64 rsp;
    u64 s_cet, ssp, isst;
    u64 rax;
    u64 star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 cr2;
    u8 reserved_648[0x668 - 0x648];
    u64 pat;
    x86::DebugCtl debug_control;
    u8 reserved_678[0x6e0 - 0x678];
    u64 spec_ctrl;
    u8 reserved_6e8[0x1000 - 0x6e8];
};
static_assert(sizeof(Vmcb) == page_size);
static_assert(offsetof(Vmcb, intercept_vector_3) == 0x00c);
static_assert(offsetof(Vmcb, msrpm_base) == 0x048);
static_assert(offsetof(Vmcb, asid) == 0x058);
static_assert(offsetof(Vmcb, virtual_interrupt) == 0x060);
static_assert(offsetof(Vmcb, exit_code) == 0x070);
static_assert(offsetof(Vmcb, nested_controls) == 0x090);
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
static_assert(offsetof(Vmcb, spec_ctrl) == 0x6e0);

// nested_controls.
constexpr u64 enable_nested_paging = bit(0);
constexpr u64 enable_invlpgb_tlbsync = bit(7);

constexpr u64 interrupt_shadow = bit(0); // interrupt_state

constexpr u8 tlb_flush_all = 1;

// exit_info_1 of a nested page fault.
constexpr u64 fault_write = bit(1);

} // namespace svm
} // namespace zpp

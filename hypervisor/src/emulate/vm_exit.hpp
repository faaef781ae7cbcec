// A VM exit, decoded once from the VMCS or the VMCB for the handlers that both vendors share.
#pragma once
#include "core/guest_registers.hpp"
#include "lib/address.hpp"

namespace zpp {

// An I/O instruction.
struct PortAccess {
    u16 port;
    u8 size; // in bytes
    bool in;
    bool string; // INS or OUTS
};

struct VmExit {
    enum class Reason : u8 {
        cpuid,
        rdmsr,
        wrmsr,
        mov_to_cr, // and LMSW
        xsetbv,
        hypercall,
        invd,
        port,               // IN or OUT
        hidden_instruction, // of VMX, SMX or SVM
        nested_paging,      // EPT violation, nested page fault
        general_protection, // #GP of the guest; `value` is its error code
        nmi,
        nmi_window,
        iret, // the end of the guest's NMI handler
        smi,
        init,
        exception,
        task_switch,
        machine_check, // during VM entry
        monitor_trap,  // VT-x, after one instruction of the guest
        host_request,  // the host asked for this exit
        triple_fault,
        unexpected,
    };

    Reason reason;
    u64 code;                        // exit reason (VMX) or exit code (SVM)
    unsigned instruction_length = 0; // bytes; 0 if unknown
    u32 index = 0;                   // MSR, extended control register, control register
    u64 value = 0;                   // that the guest writes to that register
    Gpa address{0};                  // nested paging
    bool write = false;              // nested paging
    PortAccess access{};             // port

    // Sets index and value from ECX and EDX:EAX, for RDMSR, WRMSR and XSETBV.
    void take_operands(const GuestRegisters& registers)
    {
        index = static_cast<u32>(registers.rcx);
        value = registers.edx_eax();
    }
};

enum class Outcome : u8 {
    advance,            // emulated: continue after the instruction
    retry,              // continue at the same RIP
    undefined_opcode,   // #UD in the guest
    general_protection, // #GP(0) in the guest
};

} // namespace zpp

// A VM exit, decoded once from the VMCS or the VMCB into what the handlers of both vendors need.
#pragma once
#include "core/guest_registers.hpp"
#include "lib/address.hpp"

namespace zpp {

struct VmExit {
    enum class Reason : u8 {
        cpuid,
        rdmsr,
        wrmsr,
        mov_to_cr,
        xsetbv,
        hypercall,
        invd,
        hidden_instruction, // of VMX, SMX or SVM
        nested_paging,      // EPT violation, nested page fault
        nmi,
        nmi_window,
        iret, // the end of the guest's NMI handler
        init,
        sipi,
        triple_fault,
        unexpected,
    };

    Reason reason;
    u64 code;                        // the vendor's number
    unsigned instruction_length = 0; // bytes; 0 if unknown
    u32 index = 0;                   // of the MSR, the extended or the control register
    u64 value = 0;                   // that the guest writes to it
    Gpa address{0};                  // nested paging
    bool write = false;              // nested paging
    u8 vector = 0;                   // SIPI

    // The operands of RDMSR, WRMSR and XSETBV: ECX and EDX:EAX.
    void take_operands(const GuestRegisters& registers)
    {
        index = static_cast<u32>(registers.rcx);
        value = registers.edx_eax();
    }
};

enum class Outcome : u8 {
    advance,            // emulated: go on after the instruction
    retry,              // run the guest from the same RIP
    undefined_opcode,   // #UD in the guest
    general_protection, // #GP(0) in the guest
};

} // namespace zpp

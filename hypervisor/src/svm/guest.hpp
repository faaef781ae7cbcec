// The guest in the VMCB; implements GuestState.
#pragma once
#include "emulate/guest_state.hpp"
#include "svm/guest_instruction.hpp"
#include "svm/instructions.hpp"
#include "svm/msr.hpp"
#include "svm/vcpu_state.hpp"
#include "x86/control_registers.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::svm {

class Guest {
public:
    Vcpu& vcpu;
    Vmcb& vmcb;
    GuestRegisters& registers;

    static MsrHandlers msr_handlers() { return svm::msr_handlers; }

    u64 rip() const { return vmcb.rip; }
    void set_rip(u64 value) { vmcb.rip = value; }
    x86::Rflags rflags() const { return vmcb.rflags; }
    void set_rflags(x86::Rflags value) { vmcb.rflags = value; }
    x86::Cr0 cr0() const { return vmcb.cr0; }
    x86::Cr4 cr4() const { return vmcb.cr4; }
    static bool cpuid_shows_syscall() { return true; } // in every mode
    unsigned cpl() const { return vmcb.cpl; }
    CodeSize code_size() const { return svm::code_size(vmcb); }
    // Without LBR virtualization the CPU's MSR is the guest's.
    x86::DebugCtl debug_control() const
    {
        return x86::DebugCtl{x86::rdmsr_or_zero(x86::Msr::ia32_debugctl)};
    }

    GuestCode code_at_rip() const { return svm::code_at_rip(vcpu, vmcb); }
    GuestPaging paging() const { return {vmcb.cr0, vmcb.cr3, vmcb.cr4, vmcb.efer}; }
    u64 segment_base(SegmentRegister segment) const
    {
        return (&vmcb.es)[static_cast<unsigned>(segment)].base;
    }
    bool has_big_stack() const
    {
        constexpr u16 attributes_b = 1u << 10;
        return (vmcb.ss.attributes & attributes_b) != 0;
    }
    u64& register_of(unsigned number)
    {
        u64* const pushed = find_register(registers, number);
        return pushed != nullptr ? *pushed : vmcb.rsp;
    }
    u64 read_register(unsigned number) { return register_of(number); }
    void write_register(unsigned number, u64 value) { register_of(number) = value; }

    void end_interrupt_shadow() { vmcb.interrupt_state &= ~interrupt_shadow; }

    void pend_single_step()
    {
        vmcb.dr6 |= x86::Dr6::bs;
        vmcb.clean &= ~Clean::drx;
        inject(x86::Event::exception(x86::vector_debug, vmcb.cr0));
    }

    void inject(x86::Event event) { vmcb.event_injection = event.value | u64{event.code} << 32; }

    // Machine checks and NMIs; see events.cpp.
    bool injects_event() const;
    void exit_at_once();
    void inject_machine_check()
    {
        inject(x86::Event::exception(x86::vector_machine_check, vmcb.cr0));
    }
    bool takes_nmi() const;
    void open_nmi_window();
    void close_nmi_window();
    void inject_nmi();

    [[noreturn]] void devirtualize(zpp_cpu_call& call);
};
static_assert(GuestState<Guest>);

} // namespace zpp::svm

// The guest behind the VMCS: what emulate/guest_state.hpp asks for.
#pragma once
#include "emulate/control.hpp"
#include "emulate/guest_state.hpp"
#include "emulate/msr.hpp"
#include "vmx/controls.hpp"
#include "vmx/msr.hpp"
#include "vmx/shared.hpp"
#include "vmx/vmcs.hpp"
#include "x86/msr.hpp"

namespace zpp::vmx {

inline void open_nmi_window()
{
    vmcs::write(Field32::primary_controls, shared.capabilities.primary | primary_nmi_window);
}

class Guest {
public:
    Vcpu& vcpu;
    GuestRegisters& registers;

    static MsrHandlers msr_handlers() { return vmx::msr_handlers; }

    u64 rip() const { return vmcs::read(FieldNatural::guest_rip); }
    void set_rip(u64 value) { vmcs::write(FieldNatural::guest_rip, value); }
    u64 rflags() const { return vmcs::read(FieldNatural::guest_rflags); }
    u64 debug_control() const { return vmcs::read(Field64::guest_debug_control); }
    unsigned cpl() const { return (vmcs::read(guest_ss.rights) >> 5) & 3; }
    bool is_long_mode() const
    {
        return (vmcs::read(Field64::guest_efer) & x86::msr::efer_lma) != 0;
    }

    CodeSize code_size() const
    {
        const u32 rights = vmcs::read(guest_cs.rights);
        if ((rights & rights_l) != 0 && is_long_mode())
            return CodeSize::bits64;
        return (rights & rights_d) != 0 ? CodeSize::bits32 : CodeSize::bits16;
    }

    u64 read_register(unsigned number) const
    {
        const u64* const pushed = find_register(registers, number);
        return pushed != nullptr ? *pushed : vmcs::read(FieldNatural::guest_rsp);
    }

    void end_interrupt_shadow()
    {
        constexpr u32 shadow = blocking_by_sti | blocking_by_mov_ss;
        const u32 interruptibility = vmcs::read(Field32::guest_interruptibility);
        if ((interruptibility & shadow) != 0) [[unlikely]]
            vmcs::write(Field32::guest_interruptibility, interruptibility & ~shadow);
    }

    void pend_single_step()
    {
        vmcs::write(FieldNatural::guest_pending_debug,
                    vmcs::read(FieldNatural::guest_pending_debug) | pending_debug_bs);
    }

    void inject(x86::Event event)
    {
        vmcs::write(Field32::entry_interruption_information, event.value);
        if (event.has_error_code())
            vmcs::write(Field32::entry_exception_error_code, 0);
    }

    // Asked for only at the NMI window.
    bool takes_nmi() const { return true; }
    void open_nmi_window() { vmx::open_nmi_window(); }
    void close_nmi_window() { vmcs::write(Field32::primary_controls, shared.capabilities.primary); }
    void inject_nmi() { inject(x86::Event::nmi()); }

    // CR0 and CR4: the guest sees the read shadow in the bits that the host owns.
    u64 cr0() const
    {
        return (vmcs::read(FieldNatural::guest_cr0) & ~cr0_mask()) |
               (vmcs::read(FieldNatural::cr0_shadow) & cr0_mask());
    }
    u64 cr4() const
    {
        return (vmcs::read(FieldNatural::guest_cr4) & ~cr4_mask()) |
               (vmcs::read(FieldNatural::cr4_shadow) & cr4_mask());
    }
    u64 allowed_cr0() const { return shared.capabilities.cr0_fixed1; }
    u64 hidden_cr4() const { return cr4_mask(); }
    void set_cr0_shadow(u64 value) { vmcs::write(FieldNatural::cr0_shadow, value); }
    void set_cr4_shadow(u64 value) { vmcs::write(FieldNatural::cr4_shadow, value); }

    [[noreturn]] void devirtualize(zpp_cpu_call& call);
    void stop() { vmxoff(); }
};
static_assert(GuestState<Guest> && ShadowedGuest<Guest>);

} // namespace zpp::vmx

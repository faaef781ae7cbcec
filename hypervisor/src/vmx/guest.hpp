// The guest in the VMCS; implements GuestState.
#pragma once
#include "emulate/control.hpp"
#include "emulate/guest_state.hpp"
#include "emulate/msr.hpp"
#include "guest/code.hpp"
#include "vmx/controls.hpp"
#include "vmx/msr.hpp"
#include "vmx/requested_exits.hpp"
#include "vmx/shared.hpp"
#include "vmx/vmcs.hpp"
#include "x86/msr.hpp"

namespace zpp::vmx {

class Guest {
public:
    Vcpu& vcpu;
    GuestRegisters& registers;

    static MsrHandlers msr_handlers() { return vmx::msr_handlers; }

    u64 rip() const { return vmcs::read(FieldNatural::guest_rip); }
    void set_rip(u64 value) { vmcs::write(FieldNatural::guest_rip, value); }
    x86::Rflags rflags() const { return x86::Rflags{vmcs::read(FieldNatural::guest_rflags)}; }
    void set_rflags(x86::Rflags value) { vmcs::write(FieldNatural::guest_rflags, value); }
    x86::DebugCtl debug_control() const
    {
        return x86::DebugCtl{vmcs::read(Field64::guest_debug_control)};
    }
    unsigned cpl() const { return (vmcs::read(guest_ss.rights) >> 5) & 3; }
    x86::Efer efer() const { return x86::Efer{vmcs::read(Field64::guest_efer)}; }
    bool is_long_mode() const { return has(efer(), x86::Efer::lma); }

    CodeSize code_size() const
    {
        const AccessRights rights{vmcs::read(guest_cs.rights)};
        if (has(rights, AccessRights::l) && is_long_mode())
            return CodeSize::bits64;
        return has(rights, AccessRights::db) ? CodeSize::bits32 : CodeSize::bits16;
    }

    // SDM Vol. 1, 21.1.5: SYSCALL is 0 outside 64-bit mode.
    bool cpuid_shows_syscall() const { return code_size() == CodeSize::bits64; }

    u64 read_register(unsigned number) const
    {
        const u64* const pushed = find_register(registers, number);
        return pushed != nullptr ? *pushed : vmcs::read(FieldNatural::guest_rsp);
    }
    void write_register(unsigned number, u64 value)
    {
        if (u64* const pushed = find_register(registers, number); pushed != nullptr)
            *pushed = value;
        else
            vmcs::write(FieldNatural::guest_rsp, value);
    }

    GuestCode code_at_rip() const
    {
        const u64 linear = code_size() == CodeSize::bits64
                               ? rip()
                               : static_cast<u32>(vmcs::read(guest_cs.base) + rip());
        return fetch_code(vcpu, paging(), {linear});
    }
    GuestPaging paging() const
    {
        return {cr0(), vmcs::read(FieldNatural::guest_cr3), cr4(), efer()};
    }
    u64 segment_base(SegmentRegister segment) const
    {
        constexpr FieldNatural bases[] = {guest_es.base, guest_cs.base, guest_ss.base,
                                          guest_ds.base, guest_fs.base, guest_gs.base};
        return vmcs::read(bases[static_cast<unsigned>(segment)]);
    }
    bool has_big_stack() const
    {
        return has(AccessRights{vmcs::read(guest_ss.rights)}, AccessRights::db);
    }

    void end_interrupt_shadow()
    {
        constexpr Interruptibility shadow =
            Interruptibility::blocking_by_sti | Interruptibility::blocking_by_mov_ss;
        const Interruptibility interruptibility{vmcs::read(Field32::guest_interruptibility)};
        if (has(interruptibility, shadow)) [[unlikely]]
            vmcs::write(Field32::guest_interruptibility, interruptibility & ~shadow);
    }

    void pend_single_step()
    {
        vmcs::write(FieldNatural::guest_pending_debug,
                    PendingDebug{vmcs::read(FieldNatural::guest_pending_debug)} | PendingDebug::bs);
    }

    void inject(x86::Event event)
    {
        vmcs::write(Field32::entry_interruption_information, event.value);
        if (event.has_error_code())
            vmcs::write(Field32::entry_exception_error_code, event.code);
    }

    bool injects_event() const
    {
        return x86::is_event(vmcs::read(Field32::entry_interruption_information));
    }
    void exit_at_once() { request_exits(vcpu); } // a pending machine check needs it
    void inject_machine_check()
    {
        inject(x86::Event::exception(x86::vector_machine_check, cr0()));
        request_exits(vcpu);
    }

    // Called at the NMI window only.
    bool takes_nmi() const { return !injects_event(); }
    void open_nmi_window() { request_exits(vcpu); }
    void close_nmi_window() {} // open while an NMI is pending
    void inject_nmi()
    {
        end_interrupt_shadow(); // some CPUs refuse an NMI under blocking by STI
        inject(x86::Event::nmi());
        request_exits(vcpu);
    }

    // CR0 and CR4 as the guest sees them: host-owned bits are in the read shadow.
    x86::Cr0 cr0() const
    {
        return (x86::Cr0{vmcs::read(FieldNatural::guest_cr0)} & ~cr0_mask()) |
               (x86::Cr0{vmcs::read(FieldNatural::cr0_shadow)} & cr0_mask());
    }
    x86::Cr4 cr4() const
    {
        return (x86::Cr4{vmcs::read(FieldNatural::guest_cr4)} & ~cr4_mask()) |
               (x86::Cr4{vmcs::read(FieldNatural::cr4_shadow)} & cr4_mask());
    }
    x86::Cr0 allowed_cr0() const { return shared.capabilities.cr0_fixed1; }
    x86::Cr4 hidden_cr4() const { return cr4_mask(); }
    void set_cr0_shadow(x86::Cr0 value) { vmcs::write(FieldNatural::cr0_shadow, value); }
    void set_cr4_shadow(x86::Cr4 value) { vmcs::write(FieldNatural::cr4_shadow, value); }

    [[noreturn]] void devirtualize(zpp_cpu_call& call);
};
static_assert(GuestState<Guest> && ShadowedGuest<Guest>);

} // namespace zpp::vmx

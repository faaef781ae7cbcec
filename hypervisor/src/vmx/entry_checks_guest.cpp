#include "vmx/entry_checks.hpp"
#include <initializer_list>

namespace zpp::vmx {
namespace {

using State = EntryState;
using x86::Cr0;
using x86::Cr4;
using x86::Msr;
using x86::Rflags;

constexpr Interruptibility shadow =
    Interruptibility::blocking_by_sti | Interruptibility::blocking_by_mov_ss;

Interruptibility interruptibility(const State& s)
{
    return Interruptibility{s.get(Field32::guest_interruptibility)};
}

ActivityState activity(const State& s) { return ActivityState{s.get(Field32::guest_activity)}; }

bool injects(const State& s, u32 type)
{
    return x86::is_event(s.event().value) && (s.event().value & 0x700) == type;
}
bool injects_interrupt(const State& s) { return injects(s, 0); }
bool injects_nmi(const State& s) { return injects(s, x86::Event::type_nmi); }

bool cr0_is_fixed(const State& s)
{
    Cr0 free = Cr0::nw | Cr0::cd;
    if (has(s.secondary(), SecondaryControls::unrestricted_guest))
        free |= Cr0::pe | Cr0::pg;
    const Cr0 ones = Cr0{s.read_msr(Msr::ia32_vmx_cr0_fixed0)} & ~free;
    const Cr0 zeros = ~Cr0{s.read_msr(Msr::ia32_vmx_cr0_fixed1)} & ~free;
    return (s.cr0() & ones) == ones && !has(s.cr0(), zeros);
}

bool cr4_is_fixed(const State& s)
{
    const Cr4 ones{s.read_msr(Msr::ia32_vmx_cr4_fixed0)};
    return (s.cr4() & ones) == ones && !has(s.cr4(), ~Cr4{s.read_msr(Msr::ia32_vmx_cr4_fixed1)});
}

bool efer_is_valid(const State& s)
{
    using x86::Efer;
    const Efer efer{s.get(Field64::guest_efer)};
    if (has(efer, ~(Efer::sce | Efer::lme | Efer::lma | Efer::nxe)))
        return false;
    if (has(efer, Efer::lma) != s.ia32e())
        return false;
    return !has(s.cr0(), Cr0::pg) || has(efer, Efer::lma) == has(efer, Efer::lme);
}

bool rip_is_valid(const State& s)
{
    const u64 rip = s.get(FieldNatural::guest_rip);
    const bool is_64_bit =
        s.ia32e() && has(AccessRights{s.get(Field32::guest_cs_rights)}, AccessRights::l);
    return is_64_bit ? s.canonical(rip) : rip >> 32 == 0;
}

bool activity_is_supported(const State& s)
{
    const u32 value = s.get(Field32::guest_activity);
    return value == 0 || (value <= 3 && (s.read_msr(Msr::ia32_vmx_misc) & bit(5 + value)) != 0);
}

bool event_fits_activity(const State& s)
{
    if (!x86::is_event(s.event().value))
        return true;
    constexpr u8 machine_check = 18;
    const bool exception = s.event().is_exception();
    const u8 vector = s.event().vector();
    switch (activity(s)) {
    case ActivityState::active: return true;
    case ActivityState::halt:
        return injects_interrupt(s) || injects_nmi(s) || injects(s, 0x700) ||
               (exception && (vector == x86::vector_debug || vector == machine_check));
    case ActivityState::shutdown: return injects_nmi(s) || (exception && vector == machine_check);
    default: return false;
    }
}

bool single_step_is_valid(const State& s)
{
    if (!has(interruptibility(s), shadow) && activity(s) != ActivityState::halt)
        return true;
    const bool steps = has(s.rflags(), Rflags::tf) &&
                       !has(x86::DebugCtl{s.get(Field64::guest_debug_control)}, x86::DebugCtl::btf);
    return has(PendingDebug{s.get(FieldNatural::guest_pending_debug)}, PendingDebug::bs) == steps;
}

bool pdptes_are_valid(const State& s)
{
    if (!has(s.cr0(), Cr0::pg) || !has(s.cr4(), Cr4::pae) || s.ia32e())
        return true;
    for (const Field64 field : {Field64::guest_pdpte0, Field64::guest_pdpte1, Field64::guest_pdpte2,
                                Field64::guest_pdpte3}) {
        const u64 entry = s.get(field);
        if ((entry & 1) != 0 && ((entry & (bits(8, 5) | bits(2, 1))) != 0 || !s.physical(entry)))
            return false;
    }
    return true;
}

constexpr EntryRule rules[] = {
    {"27.3.1.1", "CR0 has its fixed bits", cr0_is_fixed},
    {"27.3.1.1", "CR0.PG needs CR0.PE",
     [](const State& s) { return !has(s.cr0(), Cr0::pg) || has(s.cr0(), Cr0::pe); }},
    {"27.3.1.1", "CR4 has its fixed bits", cr4_is_fixed},
    {"27.3.1.1", "CR4.CET needs CR0.WP",
     [](const State& s) { return !has(s.cr4(), Cr4::cet) || has(s.cr0(), Cr0::wp); }},
    {"27.3.1.1", "reserved bits of IA32_DEBUGCTL are 0",
     [](const State& s) {
         // Bits 5:2 and above 15: later features that zpp does not check.
         return (s.get(Field64::guest_debug_control) & bits(63, 16)) == 0;
     }},
    {"27.3.1.1", "an IA-32e mode guest needs CR0.PG and CR4.PAE",
     [](const State& s) {
         return !s.ia32e() || (has(s.cr0(), Cr0::pg) && has(s.cr4(), Cr4::pae));
     }},
    {"27.3.1.1", "CR4.PCIDE needs an IA-32e mode guest",
     [](const State& s) { return s.ia32e() || !has(s.cr4(), Cr4::pcide); }},
    {"27.3.1.1", "CR3 is a physical address",
     [](const State& s) {
         // Bits 62:61 are those of linear-address masking.
         return s.physical(s.get(FieldNatural::guest_cr3) & ~bits(62, 61));
     }},
    {"27.3.1.1", "bits 63:32 of DR7 are 0",
     [](const State& s) { return s.get(FieldNatural::guest_dr7) >> 32 == 0; }},
    {"27.3.1.1", "the SYSENTER addresses are canonical",
     [](const State& s) {
         return s.canonical(s.get(FieldNatural::guest_sysenter_esp)) &&
                s.canonical(s.get(FieldNatural::guest_sysenter_eip));
     }},
    {"27.3.1.1", "IA32_PAT is valid",
     [](const State& s) { return pat_is_valid(s.get(Field64::guest_pat)); }},
    {"27.3.1.1", "IA32_EFER is valid and fits the IA-32e mode", efer_is_valid},
    {"27.3.1.3", "the bases of GDTR and IDTR are canonical",
     [](const State& s) {
         return s.canonical(s.get(FieldNatural::guest_gdtr_base)) &&
                s.canonical(s.get(FieldNatural::guest_idtr_base));
     }},
    {"27.3.1.3", "the limits of GDTR and IDTR have 16 bits",
     [](const State& s) {
         return s.get(Field32::guest_gdtr_limit) >> 16 == 0 &&
                s.get(Field32::guest_idtr_limit) >> 16 == 0;
     }},
    {"27.3.1.4", "RIP fits the mode", rip_is_valid},
    {"27.3.1.4", "reserved bits of RFLAGS have their values",
     [](const State& s) {
         return (raw(s.rflags()) & (bits(63, 22) | bit(15) | bit(5) | bit(3) | bit(1))) == bit(1);
     }},
    {"27.3.1.4", "RFLAGS.VM needs protected mode and no IA-32e mode",
     [](const State& s) { return !s.virtual_8086() || (has(s.cr0(), Cr0::pe) && !s.ia32e()); }},
    {"27.3.1.4", "an injected interrupt needs RFLAGS.IF",
     [](const State& s) { return !injects_interrupt(s) || has(s.rflags(), Rflags::if_); }},
    {"27.3.1.5", "the CPU supports the activity state", activity_is_supported},
    {"27.3.1.5", "HLT needs SS.DPL 0",
     [](const State& s) {
         return activity(s) != ActivityState::halt ||
                !has(AccessRights{s.get(Field32::guest_ss_rights)}, AccessRights::dpl);
     }},
    {"27.3.1.5", "blocking by STI or MOV SS needs the active state",
     [](const State& s) {
         return !has(interruptibility(s), shadow) || activity(s) == ActivityState::active;
     }},
    {"27.3.1.5", "the injected event fits the activity state", event_fits_activity},
    {"27.3.1.5", "reserved bits of the interruptibility state are 0",
     [](const State& s) { return raw(interruptibility(s)) >> 5 == 0; }},
    {"27.3.1.5", "not both blocking by STI and by MOV SS",
     [](const State& s) { return (interruptibility(s) & shadow) != shadow; }},
    {"27.3.1.5", "blocking by STI needs RFLAGS.IF",
     [](const State& s) {
         return !has(interruptibility(s), Interruptibility::blocking_by_sti) ||
                has(s.rflags(), Rflags::if_);
     }},
    {"27.3.1.5", "an injected interrupt is not blocked by STI or MOV SS",
     [](const State& s) { return !injects_interrupt(s) || !has(interruptibility(s), shadow); }},
    // STI: some CPUs require it.
    {"27.3.1.5", "an injected NMI is not blocked by STI or MOV SS",
     [](const State& s) { return !injects_nmi(s) || !has(interruptibility(s), shadow); }},
    {"27.3.1.5", "no blocking by SMI",
     [](const State& s) { return !has(interruptibility(s), Interruptibility::blocking_by_smi); }},
    {"27.3.1.5", "an injected NMI is not blocked by an NMI",
     [](const State& s) {
         return !injects_nmi(s) || !has(interruptibility(s), Interruptibility::blocking_by_nmi) ||
                !has(PinControls{s.get(Field32::pin_based_controls)}, PinControls::virtual_nmis);
     }},
    {"27.3.1.5", "reserved bits of the pending debug exceptions are 0",
     [](const State& s) {
         return (s.get(FieldNatural::guest_pending_debug) &
                 (bits(63, 17) | bit(15) | bit(13) | bits(10, 4))) == 0;
     }},
    {"27.3.1.5", "the pending debug exceptions have BS as RFLAGS.TF asks", single_step_is_valid},
    {"27.3.1.5", "the VMCS link pointer is all ones, or a page of physical memory",
     [](const State& s) {
         const u64 pointer = s.get(Field64::vmcs_link_pointer);
         return pointer == ~u64{0} || (pointer % page_size == 0 && s.physical(pointer));
     }},
    {"27.3.1.6", "reserved bits of the PDPTEs are 0", pdptes_are_valid},
};

} // namespace

constinit const EntryRules guest_rules = rules;

} // namespace zpp::vmx

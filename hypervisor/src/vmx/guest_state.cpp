#include "vmx/guest_state.hpp"
#include "core/log.hpp"
#include "vmx/controls.hpp"
#include "vmx/entry_checks.hpp"
#include "vmx/exit_reason.hpp"
#include "vmx/shared.hpp"
#include "vmx/vmcs.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"
#include <initializer_list>

namespace zpp::vmx {
namespace {

using x86::Msr;

struct NamedSegment {
    SegmentFields fields;
    zpp_segment zpp_cpu_state::* state;
};

constexpr NamedSegment segments[] = {
    {guest_es, &zpp_cpu_state::es},     {guest_cs, &zpp_cpu_state::cs},
    {guest_ss, &zpp_cpu_state::ss},     {guest_ds, &zpp_cpu_state::ds},
    {guest_fs, &zpp_cpu_state::fs},     {guest_gs, &zpp_cpu_state::gs},
    {guest_ldtr, &zpp_cpu_state::ldtr}, {guest_tr, &zpp_cpu_state::tr},
};

void write_segment(const SegmentFields& fields, u16 selector, u64 base, u32 limit, u32 rights)
{
    vmcs::write(fields.selector, selector);
    vmcs::write(fields.base, base);
    vmcs::write(fields.limit, limit);
    vmcs::write(fields.rights, rights);
}

void write_control_registers(x86::Cr0 cr0, u64 cr3, x86::Cr4 cr4, x86::Efer efer)
{
    vmcs::write(FieldNatural::guest_cr0, real_cr0(cr0));
    vmcs::write(FieldNatural::cr0_shadow, cr0);
    vmcs::write(FieldNatural::guest_cr3, cr3);
    vmcs::write(FieldNatural::guest_cr4, real_cr4(cr4));
    vmcs::write(FieldNatural::cr4_shadow, cr4);
    vmcs::write(Field64::guest_efer, efer);
    const EntryControls entry = shared.capabilities.entry;
    vmcs::write(Field32::entry_controls,
                has(efer, x86::Efer::lma) ? entry | EntryControls::ia32e_mode_guest : entry);
}

void write_table(FieldNatural base_field, Field32 limit_field, u64 base, u32 limit)
{
    vmcs::write(base_field, base);
    vmcs::write(limit_field, limit);
}

void write_activity(ActivityState activity)
{
    vmcs::write(Field32::guest_activity, static_cast<u32>(activity));
    vmcs::write(Field32::guest_interruptibility, 0);
    vmcs::write(FieldNatural::guest_pending_debug, 0);
    vmcs::write(Field32::entry_interruption_information, 0);
}

constexpr u32 rights_data = 0x93;
constexpr u32 rights_code = 0x9b;
constexpr u32 rights_ldt = 0x82;
constexpr u32 rights_busy_tss = 0x8b;
constexpr u32 limit_64k = 0xffff;

} // namespace

void write_guest_state(const zpp_cpu_state& os)
{
    write_control_registers(x86::Cr0{os.cr0}, os.cr3, x86::Cr4{os.cr4}, x86::Efer{os.efer});
    for (const auto& [fields, member] : segments) {
        const zpp_segment& segment = os.*member;
        write_segment(fields, segment.selector, segment.base, segment.limit, segment.access_rights);
    }
    write_table(FieldNatural::guest_gdtr_base, Field32::guest_gdtr_limit, os.gdtr.base,
                os.gdtr.limit);
    write_table(FieldNatural::guest_idtr_base, Field32::guest_idtr_limit, os.idtr.base,
                os.idtr.limit);
    vmcs::write(FieldNatural::guest_rsp, os.rsp);
    vmcs::write(FieldNatural::guest_rip, os.rip);
    vmcs::write(FieldNatural::guest_rflags, os.rflags);
    vmcs::write(FieldNatural::guest_dr7, x86::read_dr7());
    vmcs::write(Field64::guest_debug_control, x86::rdmsr_or_zero(Msr::ia32_debugctl));
    vmcs::write(Field64::guest_pat, x86::rdmsr(Msr::ia32_pat));
    vmcs::write(Field32::guest_sysenter_cs, static_cast<u32>(x86::rdmsr(Msr::ia32_sysenter_cs)));
    vmcs::write(FieldNatural::guest_sysenter_esp, x86::rdmsr(Msr::ia32_sysenter_esp));
    vmcs::write(FieldNatural::guest_sysenter_eip, x86::rdmsr(Msr::ia32_sysenter_eip));
    vmcs::write(Field64::vmcs_link_pointer, ~u64{0});
    write_activity(ActivityState::active);
}

void write_init_state(GuestRegisters& registers)
{
    registers = {};
    registers.rdx = x86::cpuid(1).eax;
    const x86::Cr0 kept =
        x86::Cr0{vmcs::read(FieldNatural::guest_cr0)} & (x86::Cr0::cd | x86::Cr0::nw);
    write_control_registers(x86::Cr0::et | kept, 0, {}, {});
    for (const SegmentFields* fields : {&guest_es, &guest_ss, &guest_ds, &guest_fs, &guest_gs})
        write_segment(*fields, 0, 0, limit_64k, rights_data);
    write_segment(guest_cs, 0xf000, 0xffff0000, limit_64k, rights_code);
    write_segment(guest_ldtr, 0, 0, limit_64k, rights_ldt);
    write_segment(guest_tr, 0, 0, limit_64k, rights_busy_tss);
    write_table(FieldNatural::guest_gdtr_base, Field32::guest_gdtr_limit, 0, limit_64k);
    write_table(FieldNatural::guest_idtr_base, Field32::guest_idtr_limit, 0, limit_64k);
    vmcs::write(FieldNatural::guest_rsp, 0);
    vmcs::write(FieldNatural::guest_rip, 0xfff0);
    vmcs::write(FieldNatural::guest_rflags, x86::Rflags::at_reset);
    vmcs::write(FieldNatural::guest_dr7, x86::dr7_at_reset);
    x86::write_cr2(0);
    x86::write_dr6(x86::Dr6::at_reset);
    x86::clear_breakpoint_addresses();
    write_activity(ActivityState::active);
    flush_guest_tlb();
}

void write_sipi_state(u8 vector)
{
    vmcs::write(guest_cs.selector, static_cast<u16>(vector << 8));
    vmcs::write(guest_cs.base, u64{vector} << 12);
    vmcs::write(FieldNatural::guest_rip, 0);
}

void restore_to_cpu(const Guest& guest, zpp_cpu_state& os)
{
    os.cr0 = raw(guest.cr0());
    os.cr3 = vmcs::read(FieldNatural::guest_cr3);
    os.cr4 = raw(guest.cr4());
    os.efer = vmcs::read(Field64::guest_efer);
    for (const auto& [fields, member] : segments) {
        (os.*member).selector = vmcs::read(fields.selector);
        (os.*member).base = vmcs::read(fields.base);
    }
    os.gdtr.base = vmcs::read(FieldNatural::guest_gdtr_base);
    os.gdtr.limit = static_cast<u16>(vmcs::read(Field32::guest_gdtr_limit));
    os.idtr.base = vmcs::read(FieldNatural::guest_idtr_base);
    os.idtr.limit = static_cast<u16>(vmcs::read(Field32::guest_idtr_limit));
    x86::write_dr7(vmcs::read(FieldNatural::guest_dr7));
    if (const u64 debug_control = vmcs::read(Field64::guest_debug_control); debug_control != 0)
        x86::wrmsr(Msr::ia32_debugctl, debug_control);
    x86::wrmsr(Msr::ia32_pat, vmcs::read(Field64::guest_pat));
    x86::wrmsr(Msr::ia32_sysenter_cs, vmcs::read(Field32::guest_sysenter_cs));
    x86::wrmsr(Msr::ia32_sysenter_esp, vmcs::read(FieldNatural::guest_sysenter_esp));
    x86::wrmsr(Msr::ia32_sysenter_eip, vmcs::read(FieldNatural::guest_sysenter_eip));
}

void dump()
{
    const auto natural = [](FieldNatural field) { return vmcs::read(field); };
    const u32 reason = vmcs::read(Field32::exit_reason);
    log::line("zpp:   exit reason {x} ({}) qualification {x} instruction length {}", reason,
              exit_name(reason), natural(FieldNatural::exit_qualification),
              vmcs::read(Field32::exit_instruction_length));
    log::line("zpp:   interruption {x} idt vectoring {x} instruction error {}",
              vmcs::read(Field32::exit_interruption_information),
              vmcs::read(Field32::idt_vectoring_information),
              vmcs::read(Field32::instruction_error));
    constexpr u32 entry_failed = 1u << 31;
    const bool failed = (reason & entry_failed) != 0 || vmcs::read(Field32::instruction_error) != 0;
    if (const EntryRule* rule = failed ? find_broken_rule() : nullptr; rule != nullptr)
        log::line("zpp:   broken rule: {} (SDM Vol. 3C, {})", rule->text, rule->section);
    log::line("zpp:   guest physical {x} linear {x}", vmcs::read(Field64::guest_physical_address),
              natural(FieldNatural::guest_linear_address));
    log::line("zpp:   rip {x} rsp {x} rflags {x}", natural(FieldNatural::guest_rip),
              natural(FieldNatural::guest_rsp), natural(FieldNatural::guest_rflags));
    log::line("zpp:   cr0 {x} cr3 {x} cr4 {x} efer {x}", natural(FieldNatural::guest_cr0),
              natural(FieldNatural::guest_cr3), natural(FieldNatural::guest_cr4),
              vmcs::read(Field64::guest_efer));
    log::line("zpp:   entry controls {x} activity {} interruptibility {x}",
              vmcs::read(Field32::entry_controls), vmcs::read(Field32::guest_activity),
              vmcs::read(Field32::guest_interruptibility));
    static constexpr const char* names[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    for (unsigned i = 0; i < 8; ++i) {
        const SegmentFields& fields = segments[i].fields;
        log::line("zpp:   {} {x} base {x} limit {x} rights {x}", names[i],
                  vmcs::read(fields.selector), vmcs::read(fields.base), vmcs::read(fields.limit),
                  vmcs::read(fields.rights));
    }
}

} // namespace zpp::vmx

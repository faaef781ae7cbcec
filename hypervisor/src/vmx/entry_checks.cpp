#include "vmx/entry_checks.hpp"
#include "x86/instructions.hpp"
#include "x86/safe.hpp"
#include <initializer_list>

namespace zpp::vmx {
namespace {

using State = EntryState;
using x86::Msr;

// Bits that must be 1 in the lower half of the MSR, bits that may be 1 in the upper half.
bool controls_are_valid(const State& s, Field32 field, Msr capability)
{
    const u64 allowed = s.read_msr(capability);
    const u32 value = s.get(field);
    return (value & static_cast<u32>(allowed)) == static_cast<u32>(allowed) &&
           (value & ~(allowed >> 32)) == 0;
}

template <Register R> bool has_control(const State& s, Field32 field, R control)
{
    return has(R{static_cast<std::underlying_type_t<R>>(s.get(field))}, control);
}

bool eptp_is_valid(const State& s)
{
    const u64 eptp = s.get(Field64::eptp);
    const u64 capability = s.read_msr(Msr::ia32_vmx_ept_vpid_cap);
    const u64 type = eptp & 7, levels = ((eptp >> 3) & 7) + 1;
    const bool type_is_valid =
        (type == 0 && (capability & bit(8)) != 0) || (type == 6 && (capability & bit(14)) != 0);
    const bool levels_are_valid =
        (levels == 4 && (capability & bit(6)) != 0) || (levels == 5 && (capability & bit(7)) != 0);
    return type_is_valid && levels_are_valid && (eptp & bits(11, 7)) == 0 && s.physical(eptp);
}

enum class Type : u32 { external = 0, reserved, nmi, hardware, software, privileged, trap, other };

Type type_of(x86::Event event) { return static_cast<Type>((event.value >> 8) & 7); }

bool type_is_valid(const State& s)
{
    const Type type = type_of(s.event());
    const bool has_trap_flag = (s.read_msr(Msr::ia32_vmx_true_procbased_ctls) >> 32 & bit(27)) != 0;
    return type != Type::reserved && (type != Type::other || has_trap_flag);
}

bool vector_is_valid(const State& s)
{
    const x86::Event event = s.event();
    switch (type_of(event)) {
    case Type::nmi: return event.vector() == x86::vector_nmi;
    case Type::hardware: return event.vector() < 32;
    case Type::other: return event.vector() == 0;
    default: return true;
    }
}

// The vectors that the manual lists; #CP is free on CPUs that say so (IA32_VMX_BASIC bit 56).
bool error_code_is_valid(const State& s)
{
    constexpr u32 with_code = 0x27d00;
    const x86::Event event = s.event();
    const bool pe =
        !has(s.secondary(), SecondaryControls::unrestricted_guest) || has(s.cr0(), x86::Cr0::pe);
    if (!pe || type_of(event) != Type::hardware)
        return !event.has_error_code();
    if ((s.read_msr(Msr::ia32_vmx_basic) & bit(56)) != 0)
        return true;
    return event.has_error_code() == ((with_code >> (event.vector() & 31) & 1) != 0);
}

bool instruction_length_is_valid(const State& s)
{
    const Type type = type_of(s.event());
    if (type != Type::software && type != Type::privileged && type != Type::trap)
        return true;
    const u32 length = s.get(Field32::entry_instruction_length);
    const bool may_be_0 = (s.read_msr(Msr::ia32_vmx_misc) & bit(30)) != 0;
    return length <= 15 && (length != 0 || may_be_0);
}

u64 read_current(u32 field)
{
    u64 value = 0;
    return vmread(field, value) ? value : 0;
}

bool no_event(const State& s) { return !x86::is_event(s.event().value); }

bool is_host_selector(const State& s, Field16 field) { return (s.get(field) & 7) == 0; }

bool host_efer_is_valid(const State& s)
{
    constexpr x86::Efer known = x86::Efer::sce | x86::Efer::lme | x86::Efer::lma | x86::Efer::nxe;
    const x86::Efer efer{s.get(Field64::host_efer)};
    return !has(efer, ~known) && has(efer, x86::Efer::lma) && has(efer, x86::Efer::lme);
}

constexpr EntryRule rules[] = {
    {"27.2.1.1", "pin-based controls are supported",
     [](const State& s) {
         return controls_are_valid(s, Field32::pin_based_controls,
                                   Msr::ia32_vmx_true_pinbased_ctls);
     }},
    {"27.2.1.1", "primary controls are supported",
     [](const State& s) {
         return controls_are_valid(s, Field32::primary_controls, Msr::ia32_vmx_true_procbased_ctls);
     }},
    {"27.2.1.1", "secondary controls are supported",
     [](const State& s) {
         return controls_are_valid(s, Field32::secondary_controls, Msr::ia32_vmx_procbased_ctls2);
     }},
    {"27.2.1.1", "at most 4 CR3-target values",
     [](const State& s) { return s.get(Field32::cr3_target_count) <= 4; }},
    {"27.2.1.1", "the I/O bitmaps are pages of physical memory",
     [](const State& s) {
         const auto is_page = [&s](Field64 field) {
             return s.get(field) % page_size == 0 && s.physical(s.get(field));
         };
         return !has_control(s, Field32::primary_controls, PrimaryControls::use_io_bitmaps) ||
                (is_page(Field64::io_bitmap_a) && is_page(Field64::io_bitmap_b));
     }},
    {"27.2.1.1", "the MSR bitmaps are a page of physical memory",
     [](const State& s) {
         const u64 address = s.get(Field64::msr_bitmaps);
         return address % page_size == 0 && s.physical(address);
     }},
    {"27.2.1.1", "virtual NMIs need NMI exiting",
     [](const State& s) {
         return has_control(s, Field32::pin_based_controls, PinControls::nmi_exiting) ||
                !has_control(s, Field32::pin_based_controls, PinControls::virtual_nmis);
     }},
    {"27.2.1.1", "NMI-window exiting needs virtual NMIs",
     [](const State& s) {
         return has_control(s, Field32::pin_based_controls, PinControls::virtual_nmis) ||
                !has_control(s, Field32::primary_controls, PrimaryControls::nmi_window_exiting);
     }},
    {"27.2.1.1", "the VPID is not 0",
     [](const State& s) {
         return !has(s.secondary(), SecondaryControls::enable_vpid) || s.get(Field16::vpid) != 0;
     }},
    {"27.2.1.1", "the EPT pointer is valid",
     [](const State& s) {
         return !has(s.secondary(), SecondaryControls::enable_ept) || eptp_is_valid(s);
     }},
    {"27.2.1.1", "an unrestricted guest needs EPT",
     [](const State& s) {
         return !has(s.secondary(), SecondaryControls::unrestricted_guest) ||
                has(s.secondary(), SecondaryControls::enable_ept);
     }},
    {"27.2.1.2", "exit controls are supported",
     [](const State& s) {
         return controls_are_valid(s, Field32::exit_controls, Msr::ia32_vmx_true_exit_ctls);
     }},
    {"27.2.1.3", "entry controls are supported",
     [](const State& s) {
         return controls_are_valid(s, Field32::entry_controls, Msr::ia32_vmx_true_entry_ctls);
     }},
    {"27.2.1.3", "the injected event's type is valid",
     [](const State& s) { return no_event(s) || type_is_valid(s); }},
    {"27.2.1.3", "the injected event's vector fits its type",
     [](const State& s) { return no_event(s) || vector_is_valid(s); }},
    {"27.2.1.3",
     "the injected event delivers an error code only in protected mode, and if it has one",
     [](const State& s) { return no_event(s) || error_code_is_valid(s); }},
    {"27.2.1.3", "reserved bits of the injected event are 0",
     [](const State& s) { return no_event(s) || (s.event().value & bits(30, 12)) == 0; }},
    {"27.2.1.3", "reserved bits of the injected error code are 0",
     [](const State& s) {
         return no_event(s) || !s.event().has_error_code() ||
                s.get(Field32::entry_exception_error_code) >> 16 == 0;
     }},
    {"27.2.1.3", "the injected instruction's length is valid",
     [](const State& s) { return no_event(s) || instruction_length_is_valid(s); }},
    {"27.2.2", "the host's CR0 has its fixed bits",
     [](const State& s) {
         const u64 value = s.get(FieldNatural::host_cr0),
                   low = s.read_msr(Msr::ia32_vmx_cr0_fixed0);
         return (value & low) == low && (value & ~s.read_msr(Msr::ia32_vmx_cr0_fixed1)) == 0;
     }},
    {"27.2.2", "the host's CR4 has its fixed bits",
     [](const State& s) {
         const u64 value = s.get(FieldNatural::host_cr4),
                   low = s.read_msr(Msr::ia32_vmx_cr4_fixed0);
         return (value & low) == low && (value & ~s.read_msr(Msr::ia32_vmx_cr4_fixed1)) == 0;
     }},
    {"27.2.2", "the host's CR3 is a physical address",
     [](const State& s) { return s.physical(s.get(FieldNatural::host_cr3)); }},
    {"27.2.2", "the host's SYSENTER addresses are canonical",
     [](const State& s) {
         return s.canonical(s.get(FieldNatural::host_sysenter_esp)) &&
                s.canonical(s.get(FieldNatural::host_sysenter_eip));
     }},
    {"27.2.2", "the host's IA32_PAT is valid",
     [](const State& s) { return pat_is_valid(s.get(Field64::host_pat)); }},
    {"27.2.2", "the host's IA32_EFER is valid", host_efer_is_valid},
    {"27.2.3", "the host's selectors have RPL 0 and TI 0",
     [](const State& s) {
         for (const Field16 field :
              {Field16::host_cs, Field16::host_ss, Field16::host_ds, Field16::host_es,
               Field16::host_fs, Field16::host_gs, Field16::host_tr})
             if (!is_host_selector(s, field))
                 return false;
         return true;
     }},
    {"27.2.3", "the host's CS and TR are not null",
     [](const State& s) { return s.get(Field16::host_cs) != 0 && s.get(Field16::host_tr) != 0; }},
    {"27.2.3", "the host's bases are canonical",
     [](const State& s) {
         for (const FieldNatural field :
              {FieldNatural::host_fs_base, FieldNatural::host_gs_base, FieldNatural::host_gdtr_base,
               FieldNatural::host_idtr_base, FieldNatural::host_tr_base})
             if (!s.canonical(s.get(field)))
                 return false;
         return true;
     }},
    {"27.2.4", "the host has 64-bit addresses, CR4.PAE and a canonical RIP",
     [](const State& s) {
         return has_control(s, Field32::exit_controls, ExitControls::host_address_space_size) &&
                has(x86::Cr4{s.get(FieldNatural::host_cr4)}, x86::Cr4::pae) &&
                s.canonical(s.get(FieldNatural::host_rip));
     }},
};

} // namespace

constinit const EntryRules control_rules = rules;

bool EntryState::canonical(u64 address) const
{
    const unsigned unused = 64 - linear_address_bits;
    return static_cast<u64>(static_cast<std::int64_t>(address << unused) >> unused) == address;
}

bool pat_is_valid(u64 value)
{
    for (unsigned i = 0; i < 64; i += 8) {
        const u64 type = (value >> i) & 0xff;
        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

const EntryRule* find_broken_rule(const EntryState& state)
{
    for (const EntryRules& table : {control_rules, guest_rules, segment_rules})
        for (const EntryRule& rule : table)
            if (!rule.holds(state))
                return &rule;
    return nullptr;
}

const EntryRule* find_broken_rule()
{
    const u32 widths = x86::cpuid(0x80000008).eax;
    return find_broken_rule({.read_field = read_current,
                             .read_msr = x86::rdmsr_or_zero,
                             .physical_address_bits = widths & 0xff,
                             .linear_address_bits = (widths >> 8) & 0xff});
}

} // namespace zpp::vmx

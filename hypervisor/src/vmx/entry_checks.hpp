// The checks of VM entry (SDM Vol. 3C, 27.2 and 27.3) as a table of rules, to name the one that a
// VMCS breaks: tests try every state that the core writes, and the report of a failed VM entry
// names the rule. Pure logic: fields and MSRs are read through functions. Features that the core
// does not use, such as VM-exit MSR areas, have no rules.
#pragma once
#include "vmx/controls.hpp"
#include "vmx/vmcs.hpp"
#include "x86/event.hpp"
#include "x86/msr.hpp"

namespace zpp::vmx {

struct EntryState {
    u64 (*read_field)(u32 field); // 0 for a field that the CPU does not have
    u64 (*read_msr)(x86::Msr msr);
    unsigned physical_address_bits;
    unsigned linear_address_bits;

    template <class Field> auto get(Field field) const
    {
        return static_cast<decltype(vmcs::read(field))>(read_field(static_cast<u32>(field)));
    }

    bool ia32e() const { return has(entry_controls(), EntryControls::ia32e_mode_guest); }
    bool virtual_8086() const { return has(rflags(), x86::Rflags::vm); }
    EntryControls entry_controls() const { return EntryControls{get(Field32::entry_controls)}; }
    SecondaryControls secondary() const
    {
        return SecondaryControls{get(Field32::secondary_controls)};
    }
    x86::Cr0 cr0() const { return x86::Cr0{get(FieldNatural::guest_cr0)}; }
    x86::Cr4 cr4() const { return x86::Cr4{get(FieldNatural::guest_cr4)}; }
    x86::Rflags rflags() const { return x86::Rflags{get(FieldNatural::guest_rflags)}; }
    x86::Event event() const { return {get(Field32::entry_interruption_information)}; }

    bool canonical(u64 address) const;
    bool physical(u64 address) const { return address >> physical_address_bits == 0; }
};

struct EntryRule {
    const char* section; // of the SDM, Vol. 3C
    const char* text;    // what must hold
    bool (*holds)(const EntryState& state);
};

class EntryRules {
public:
    template <std::size_t count>
    constexpr EntryRules(const EntryRule (&table)[count]) : begin_(table), end_(table + count)
    {
    }
    const EntryRule* begin() const { return begin_; }
    const EntryRule* end() const { return end_; }

private:
    const EntryRule *begin_, *end_;
};

extern const EntryRules control_rules; // entry_checks.cpp, with the host's state
extern const EntryRules guest_rules;   // entry_checks_guest.cpp
extern const EntryRules segment_rules; // entry_checks_segments.cpp

// The first rule that the VMCS breaks, in the CPU's order; nullptr if all hold.
const EntryRule* find_broken_rule(const EntryState& state);

// The same for the current VMCS of this CPU.
const EntryRule* find_broken_rule();

// Whether each byte of an IA32_PAT is a memory type.
bool pat_is_valid(u64 value);

} // namespace zpp::vmx

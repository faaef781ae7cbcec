// vmx/entry_checks: the rules of VM entry name what is broken, and no state that the core writes
// breaks one (SDM Vol. 3C, 27.2 and 27.3).
#include "emulate/handle.hpp"
#include "fake_vmcs.hpp"
#include "vmx/guest.hpp"
#include "vmx/guest_state.hpp"
#include "vmx/shared.hpp"
#include <doctest/doctest.h>
#include <functional>
#include <set>
#include <vector>

namespace zpp::test {
namespace {

using namespace vmx;
using Vmcs = FakeVmcs&;

constexpr u32 gp_with_code = 0x80000b0d, gp = 0x8000030d;
constexpr u32 nmi = 0x80000202, interrupt = 0x80000030;

void restricted(Vmcs v)
{
    v[Field32::secondary_controls] &= ~bit(7);
    for (const SegmentFields& s : {guest_ss, guest_ds, guest_es, guest_fs, guest_gs})
        v[s.selector] &= ~u64{3};
}

struct Broken {
    const char* rule;
    std::function<void(Vmcs)> spoil;
};

const Broken cases[] = {
    {"pin-based controls are supported", [](Vmcs v) { v[Field32::pin_based_controls] &= ~2ul; }},
    {"primary controls are supported", [](Vmcs v) { v[Field32::primary_controls] &= ~2ul; }},
    {"secondary controls are supported",
     [](Vmcs v) {
         Msrs msrs = capable_msrs();
         msrs[0x48b] &= ~bit(32 + 3);
         use_msrs(msrs);
         v[Field32::secondary_controls] |= bit(3);
     }},
    {"at most 4 CR3-target values", [](Vmcs v) { v[Field32::cr3_target_count] = 5; }},
    {"the I/O bitmaps are pages of physical memory",
     [](Vmcs v) {
         v[Field32::primary_controls] |= bit(25);
         v[Field64::io_bitmap_a] = 0x1008;
     }},
    {"the I/O bitmaps are pages of physical memory",
     [](Vmcs v) {
         v[Field32::primary_controls] |= bit(25);
         v[Field64::io_bitmap_b] = bit(39);
     }},
    {"the MSR bitmaps are a page of physical memory",
     [](Vmcs v) { v[Field64::msr_bitmaps] = 0x1008; }},
    {"the MSR bitmaps are a page of physical memory",
     [](Vmcs v) { v[Field64::msr_bitmaps] = bit(39); }},
    {"virtual NMIs need NMI exiting", [](Vmcs v) { v[Field32::pin_based_controls] &= ~bit(3); }},
    {"NMI-window exiting needs virtual NMIs",
     [](Vmcs v) {
         v[Field32::pin_based_controls] &= ~bit(5);
         v[Field32::primary_controls] |= bit(22);
     }},
    {"the VPID is not 0", [](Vmcs v) { v[Field16::vpid] = 0; }},
    {"the EPT pointer is valid", [](Vmcs v) { v[Field64::eptp] |= 1; }},
    {"the EPT pointer is valid", [](Vmcs v) { v[Field64::eptp] |= bit(7); }},
    {"an unrestricted guest needs EPT", [](Vmcs v) { v[Field32::secondary_controls] &= ~bit(1); }},
    {"exit controls are supported", [](Vmcs v) { v[Field32::exit_controls] &= ~1ul; }},
    {"entry controls are supported", [](Vmcs v) { v[Field32::entry_controls] &= ~1ul; }},
    {"the injected event's type is valid",
     [](Vmcs v) { v[Field32::entry_interruption_information] = 0x80000100; }},
    {"the injected event's vector fits its type",
     [](Vmcs v) { v[Field32::entry_interruption_information] = 0x80000203; }},
    {"the injected event's vector fits its type",
     [](Vmcs v) { v[Field32::entry_interruption_information] = 0x80000320; }},
    {"the injected event delivers an error code only in protected mode, and if it has one",
     [](Vmcs v) { v[Field32::entry_interruption_information] = gp; }},
    {"the injected event delivers an error code only in protected mode, and if it has one",
     [](Vmcs v) { v[Field32::entry_interruption_information] = 0x80000b06; }},
    {"the injected event delivers an error code only in protected mode, and if it has one",
     [](Vmcs v) {
         GuestRegisters registers{};
         write_init_state(registers);
         write_sipi_state(0x9f);
         v[Field32::entry_interruption_information] = gp_with_code;
     }},
    {"reserved bits of the injected event are 0",
     [](Vmcs v) { v[Field32::entry_interruption_information] = gp_with_code | bit(12); }},
    {"reserved bits of the injected error code are 0",
     [](Vmcs v) {
         v[Field32::entry_interruption_information] = gp_with_code;
         v[Field32::entry_exception_error_code] = 0x10000;
     }},
    {"the injected instruction's length is valid",
     [](Vmcs v) { v[Field32::entry_interruption_information] = 0x80000480; }},
    {"the host's CR0 has its fixed bits", [](Vmcs v) { v[FieldNatural::host_cr0] &= ~bit(5); }},
    {"the host's CR4 has its fixed bits", [](Vmcs v) { v[FieldNatural::host_cr4] &= ~bit(13); }},
    {"the host's CR3 is a physical address", [](Vmcs v) { v[FieldNatural::host_cr3] = bit(39); }},
    {"the host's SYSENTER addresses are canonical",
     [](Vmcs v) { v[FieldNatural::host_sysenter_esp] = bit(47); }},
    {"the host's IA32_PAT is valid", [](Vmcs v) { v[Field64::host_pat] = 2; }},
    {"the host's IA32_EFER is valid", [](Vmcs v) { v[Field64::host_efer] &= ~bit(8); }},
    {"the host's selectors have RPL 0 and TI 0", [](Vmcs v) { v[Field16::host_ds] |= 4; }},
    {"the host's CS and TR are not null", [](Vmcs v) { v[Field16::host_tr] = 0; }},
    {"the host's bases are canonical", [](Vmcs v) { v[FieldNatural::host_gs_base] = bit(63); }},
    {"the host has 64-bit addresses, CR4.PAE and a canonical RIP",
     [](Vmcs v) { v[FieldNatural::host_rip] = bit(50); }},
    {"CR0 has its fixed bits", [](Vmcs v) { v[FieldNatural::guest_cr0] &= ~bit(5); }},
    {"CR0 has its fixed bits", [](Vmcs v) { v[FieldNatural::guest_cr0] |= bit(32); }},
    {"CR0 has its fixed bits",
     [](Vmcs v) {
         restricted(v);
         v.protected_mode();
         v[FieldNatural::guest_cr0] &= ~bit(31);
     }},
    {"CR0.PG needs CR0.PE",
     [](Vmcs v) {
         v.protected_mode();
         v[FieldNatural::guest_cr0] &= ~1ul;
     }},
    {"CR4 has its fixed bits", [](Vmcs v) { v[FieldNatural::guest_cr4] &= ~bit(13); }},
    {"CR4 has its fixed bits", [](Vmcs v) { v[FieldNatural::guest_cr4] |= bit(30); }},
    {"CR4.CET needs CR0.WP",
     [](Vmcs v) {
         Msrs msrs = capable_msrs();
         msrs[0x489] |= bit(23);
         use_msrs(msrs);
         v[FieldNatural::guest_cr4] |= bit(23);
         v[FieldNatural::guest_cr0] &= ~bit(16);
     }},
    {"reserved bits of IA32_DEBUGCTL are 0",
     [](Vmcs v) { v[Field64::guest_debug_control] = bit(16); }},
    {"an IA-32e mode guest needs CR0.PG and CR4.PAE",
     [](Vmcs v) { v[FieldNatural::guest_cr4] &= ~bit(5); }},
    {"CR4.PCIDE needs an IA-32e mode guest",
     [](Vmcs v) {
         v.protected_mode();
         v[FieldNatural::guest_cr4] |= bit(17);
     }},
    {"CR3 is a physical address", [](Vmcs v) { v[FieldNatural::guest_cr3] = bit(39); }},
    {"bits 63:32 of DR7 are 0", [](Vmcs v) { v[FieldNatural::guest_dr7] = bit(32); }},
    {"the SYSENTER addresses are canonical",
     [](Vmcs v) { v[FieldNatural::guest_sysenter_eip] = bit(47); }},
    {"IA32_PAT is valid", [](Vmcs v) { v[Field64::guest_pat] = 0x0800; }},
    {"IA32_EFER is valid and fits the IA-32e mode",
     [](Vmcs v) { v[Field64::guest_efer] |= bit(1); }},
    {"IA32_EFER is valid and fits the IA-32e mode",
     [](Vmcs v) { v[Field64::guest_efer] &= ~bit(10); }},
    {"IA32_EFER is valid and fits the IA-32e mode",
     [](Vmcs v) { v[Field64::guest_efer] &= ~bit(8); }},
    {"the bases of GDTR and IDTR are canonical",
     [](Vmcs v) { v[FieldNatural::guest_idtr_base] = bit(47); }},
    {"the limits of GDTR and IDTR have 16 bits",
     [](Vmcs v) { v[Field32::guest_gdtr_limit] = 0x10000; }},
    {"RIP fits the mode", [](Vmcs v) { v[FieldNatural::guest_rip] = bit(47); }},
    {"RIP fits the mode",
     [](Vmcs v) {
         v.protected_mode();
         v[FieldNatural::guest_rip] = bit(32);
     }},
    {"reserved bits of RFLAGS have their values",
     [](Vmcs v) { v[FieldNatural::guest_rflags] = 0; }},
    {"reserved bits of RFLAGS have their values",
     [](Vmcs v) { v[FieldNatural::guest_rflags] |= bit(3); }},
    {"RFLAGS.VM needs protected mode and no IA-32e mode",
     [](Vmcs v) { v[FieldNatural::guest_rflags] |= bit(17); }},
    {"an injected interrupt needs RFLAGS.IF",
     [](Vmcs v) {
         v[FieldNatural::guest_rflags] = 2;
         v[Field32::entry_interruption_information] = interrupt;
     }},
    {"the CPU supports the activity state", [](Vmcs v) { v[Field32::guest_activity] = 4; }},
    {"HLT needs SS.DPL 0",
     [](Vmcs v) {
         v[Field32::guest_activity] = 1;
         v[Field32::guest_ss_rights] = 0xc0f3;
     }},
    {"blocking by STI or MOV SS needs the active state",
     [](Vmcs v) {
         v[Field32::guest_activity] = 3;
         v[Field32::guest_interruptibility] = 2;
     }},
    {"the injected event fits the activity state",
     [](Vmcs v) {
         v[Field32::guest_activity] = 3;
         v[Field32::entry_interruption_information] = nmi;
     }},
    {"the injected event fits the activity state",
     [](Vmcs v) {
         v[Field32::guest_activity] = 1;
         v[Field32::entry_interruption_information] = gp_with_code;
     }},
    {"reserved bits of the interruptibility state are 0",
     [](Vmcs v) { v[Field32::guest_interruptibility] = bit(5); }},
    {"not both blocking by STI and by MOV SS",
     [](Vmcs v) { v[Field32::guest_interruptibility] = 3; }},
    {"blocking by STI needs RFLAGS.IF",
     [](Vmcs v) {
         v[Field32::guest_interruptibility] = 1;
         v[FieldNatural::guest_rflags] = 2;
     }},
    {"an injected interrupt is not blocked by STI or MOV SS",
     [](Vmcs v) {
         v[Field32::guest_interruptibility] = 1;
         v[Field32::entry_interruption_information] = interrupt;
     }},
    {"an injected NMI is not blocked by STI or MOV SS",
     [](Vmcs v) {
         v[Field32::guest_interruptibility] = 2;
         v[Field32::entry_interruption_information] = nmi;
     }},
    {"no blocking by SMI", [](Vmcs v) { v[Field32::guest_interruptibility] = 4; }},
    {"an injected NMI is not blocked by an NMI",
     [](Vmcs v) {
         v[Field32::guest_interruptibility] = 8;
         v[Field32::entry_interruption_information] = nmi;
     }},
    {"reserved bits of the pending debug exceptions are 0",
     [](Vmcs v) { v[FieldNatural::guest_pending_debug] = bit(13); }},
    {"the pending debug exceptions have BS as RFLAGS.TF asks",
     [](Vmcs v) {
         v[Field32::guest_interruptibility] = 2;
         v[FieldNatural::guest_rflags] |= bit(8);
     }},
    {"the VMCS link pointer is all ones, or a page of physical memory",
     [](Vmcs v) { v[Field64::vmcs_link_pointer] = 1; }},
    {"reserved bits of the PDPTEs are 0",
     [](Vmcs v) {
         v.protected_mode();
         v[Field64::guest_pdpte2] = 3;
     }},
    {"TR is usable and not in the LDT", [](Vmcs v) { v[Field16::guest_tr] = 0xc; }},
    {"TR is usable and not in the LDT", [](Vmcs v) { v[Field32::guest_tr_rights] = 0x1008b; }},
    {"LDTR is not in the LDT",
     [](Vmcs v) {
         v[Field16::guest_ldtr] = 0xc;
         v[Field32::guest_ldtr_rights] = 0x82;
     }},
    {"SS.RPL is CS.RPL",
     [](Vmcs v) {
         restricted(v);
         v[Field16::guest_ss] |= 3;
     }},
    {"virtual-8086 mode has its segments",
     [](Vmcs v) {
         v.virtual_8086();
         v[Field32::guest_ds_limit] = 0xfffff;
     }},
    {"the bases of TR, LDTR, FS and GS are canonical",
     [](Vmcs v) { v[FieldNatural::guest_gs_base] = bit(47); }},
    {"the bases of CS, SS, DS and ES have 32 bits",
     [](Vmcs v) { v[FieldNatural::guest_ds_base] = bit(32); }},
    {"CS has the type of accessed code", [](Vmcs v) { v[Field32::guest_cs_rights] = 0xa09a; }},
    {"CS has the type of accessed code",
     [](Vmcs v) {
         restricted(v);
         v[Field32::guest_cs_rights] = 0xc093;
     }},
    {"SS has the type of accessed, writable data",
     [](Vmcs v) { v[Field32::guest_ss_rights] = 0xc091; }},
    {"DS, ES, FS and GS are accessed and readable",
     [](Vmcs v) { v[Field32::guest_fs_rights] = 0xc092; }},
    {"DS, ES, FS and GS are accessed and readable",
     [](Vmcs v) { v[Field32::guest_ds_rights] = 0xc099; }},
    {"code and data segments have S set", [](Vmcs v) { v[Field32::guest_es_rights] = 0xc083; }},
    {"CS.DPL fits its type and SS.DPL", [](Vmcs v) { v[Field32::guest_cs_rights] = 0xa0fb; }},
    {"SS.DPL fits the mode",
     [](Vmcs v) {
         restricted(v);
         v[Field32::guest_cs_rights] = 0xa0fb;
         v[Field16::guest_cs] |= 3;
         v[Field16::guest_ss] |= 3;
         v[Field32::guest_ss_rights] = 0xc0f3;
         v[Field16::guest_ss] &= ~1ul;
         v[Field16::guest_cs] &= ~1ul;
     }},
    {"SS.DPL fits the mode",
     [](Vmcs v) {
         v[Field32::guest_cs_rights] = 0x9f;
         v[Field32::guest_cs_limit] = 0xffff;
         v.protected_mode();
         v[FieldNatural::guest_cr0] &= ~(bit(31) | 1);
         v[Field32::guest_cs_rights] = 0xfb;
         v[Field32::guest_ss_rights] = 0xc0f3;
     }},
    {"DS, ES, FS and GS have DPL of at least RPL",
     [](Vmcs v) {
         restricted(v);
         v[Field16::guest_ds] |= 3;
     }},
    {"segments are present", [](Vmcs v) { v[Field32::guest_gs_rights] = 0xc013; }},
    {"reserved bits of access rights are 0", [](Vmcs v) { v[Field32::guest_gs_rights] |= bit(8); }},
    {"64-bit code has CS.D 0", [](Vmcs v) { v[Field32::guest_cs_rights] |= bit(14); }},
    {"limits fit their granularity", [](Vmcs v) { v[Field32::guest_ds_limit] = 0xffff0000; }},
    {"limits fit their granularity", [](Vmcs v) { v[Field32::guest_ds_rights] = 0x4093; }},
    {"TR is a busy TSS of the mode", [](Vmcs v) { v[Field32::guest_tr_rights] = 0x89; }},
    {"TR is a busy TSS of the mode", [](Vmcs v) { v[Field32::guest_tr_rights] = 0x83; }},
    {"the rights and the limit of TR are valid", [](Vmcs v) { v[Field32::guest_tr_rights] = 0xb; }},
    {"LDTR is an LDT", [](Vmcs v) { v[Field32::guest_ldtr_rights] = 0x8b; }},
    {"the rights and the limit of LDTR are valid",
     [](Vmcs v) {
         v[Field32::guest_ldtr_rights] = 0x82;
         v[Field32::guest_ldtr_limit] = 0x100000;
     }},
};

TEST_CASE("VM entry: the broken rule is named")
{
    for (const Broken& c : cases) {
        INFO(std::string(c.rule));
        FakeVmcs vmcs;
        vmcs.launch(FakeVmcs::uefi());
        REQUIRE(vmcs.broken_rule() == "");
        c.spoil(vmcs);
        CHECK(vmcs.broken_rule() == c.rule);
    }
}

TEST_CASE("VM entry: every rule has a case that breaks it")
{
    std::set<std::string> shown;
    for (const Broken& c : cases)
        shown.insert(c.rule);
    for (const EntryRules& table : {control_rules, guest_rules, segment_rules})
        for (const EntryRule& rule : table) {
            INFO(std::string(rule.text));
            CHECK(shown.contains(rule.text));
        }
}

TEST_CASE("VM entry: other modes are valid")
{
    FakeVmcs vmcs;
    vmcs.launch(FakeVmcs::uefi());
    SUBCASE("32-bit protected mode") { vmcs.protected_mode(); }
    SUBCASE("virtual-8086 mode") { vmcs.virtual_8086(); }
    SUBCASE("CPL 3")
    {
        vmcs[Field32::guest_cs_rights] = 0xa0fb;
        vmcs[Field32::guest_ss_rights] = 0xc0f3;
    }
    SUBCASE("the shadow of STI") { vmcs[Field32::guest_interruptibility] = 1; }
    CHECK(vmcs.broken_rule() == "");
}

} // namespace
} // namespace zpp::test

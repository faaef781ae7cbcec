#include "emulate/cpuid.hpp"
#include "core/machine.hpp"
#include "core/virt.hpp"
#include "guest/memory.hpp"

namespace zpp {
namespace {

constexpr u32 leaf7_ecx_ospke = 1u << 4;
constexpr u32 leaf19_ebx_aeskle = 1u << 0;
constexpr u32 leaf80000001_edx_syscall = 1u << 11;

constexpr u32 leaf1_ecx_hypervisor = 1u << 31;
void limit_address_width(u32& eax)
{
    if ((eax & 0xff) > guest_memory::shown_bits())
        eax = (eax & ~0xffu) | guest_memory::shown_bits();
}

constexpr u32 with(u32 value, u32 flag, bool set) { return set ? value | flag : value & ~flag; }

// AESKLE needs CR4.KL, and key locker that the firmware has activated: only the CPU knows that.
void ask_for_key_locker(x86::Cr4 guest_cr4, u32 subleaf, x86::CpuidResult& result)
{
    if (!has(guest_cr4, x86::Cr4::kl)) {
        result.ebx &= ~leaf19_ebx_aeskle;
        return;
    }
    const x86::Cr4 host = x86::read_cr4();
    x86::write_cr4(host | x86::Cr4::kl);
    result = x86::cpuid(0x19, subleaf);
    x86::write_cr4(host);
}

bool shows_zpp(u32 subleaf) { return subleaf == ZPP_CPUID_KEY || leaf1_ecx_added != 0; }

} // namespace

constinit u32 leaf1_ecx_added = 0;

void set_visible(bool visible) { leaf1_ecx_added = visible ? leaf1_ecx_hypervisor : 0; }

void emulate_cpuid(GuestRegisters& registers, const CpuidCaller& caller)
{
    const auto leaf = static_cast<u32>(registers.rax);
    const auto subleaf = static_cast<u32>(registers.rcx);
    x86::CpuidResult result = x86::cpuid(leaf, subleaf);
    if (is_changed_leaf(leaf))
        change_cpuid_leaf(leaf, subleaf, caller, result);
    registers.rax = result.eax;
    registers.rbx = result.ebx;
    registers.rcx = result.ecx;
    registers.rdx = result.edx;
}

void change_cpuid_leaf(u32 leaf, u32 subleaf, const CpuidCaller& caller, x86::CpuidResult& result)
{
    hide_features(leaf, subleaf, result);
    switch (leaf) {
    case 1: change_cpuid_leaf_1(caller.cr4, result); break;
    case 7:
        if (subleaf == 0)
            result.ecx = with(result.ecx, leaf7_ecx_ospke, has(caller.cr4, x86::Cr4::pke));
        break;
    case 0x19: ask_for_key_locker(caller.cr4, subleaf, result); break;
    case ZPP_CPUID_SIGNATURE_LEAF:
        if (shows_zpp(subleaf))
            result = {ZPP_CPUID_VERSION_LEAF, ZPP_SIGNATURE_EBX, ZPP_SIGNATURE_ECX,
                      ZPP_SIGNATURE_EDX};
        break;
    case ZPP_CPUID_VERSION_LEAF:
        if (shows_zpp(subleaf))
            result = {ZPP_VERSION, vendor().feature, current_vcpu().index, machine.cpu_count()};
        break;
    case 0x80000001:
        if (!caller.shows_syscall)
            result.edx &= ~leaf80000001_edx_syscall;
        break;
    case 0x80000008: limit_address_width(result.eax); break;
    default: break;
    }
}

} // namespace zpp

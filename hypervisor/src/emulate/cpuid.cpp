#include "emulate/cpuid.hpp"
#include "core/machine.hpp"
#include "core/virt.hpp"
#include "guest/memory.hpp"

namespace zpp {
namespace {

constexpr u32 leaf7_ecx_ospke = 1u << 4;
constexpr u32 leaf80000001_ecx_svm = 1u << 2;
constexpr u32 leaf80000001_ecx_skinit = 1u << 12;

constexpr u32 leaf1_ecx_hypervisor = 1u << 31;
void limit_address_width(u32& eax)
{
    if ((eax & 0xff) > guest_memory::shown_bits())
        eax = (eax & ~0xffu) | guest_memory::shown_bits();
}

constexpr u32 with(u32 value, u32 flag, bool set) { return set ? value | flag : value & ~flag; }

bool shows_zpp(u32 subleaf) { return subleaf == ZPP_CPUID_KEY || leaf1_ecx_added != 0; }

} // namespace

constinit u32 leaf1_ecx_added = 0;

void set_visible(bool visible) { leaf1_ecx_added = visible ? leaf1_ecx_hypervisor : 0; }

void emulate_cpuid(GuestRegisters& registers, x86::Cr4 guest_cr4)
{
    const auto leaf = static_cast<u32>(registers.rax);
    const auto subleaf = static_cast<u32>(registers.rcx);
    x86::CpuidResult result = x86::cpuid(leaf, subleaf);
    if (is_changed_leaf(leaf))
        change_cpuid_leaf(leaf, subleaf, guest_cr4, result);
    registers.rax = result.eax;
    registers.rbx = result.ebx;
    registers.rcx = result.ecx;
    registers.rdx = result.edx;
}

void change_cpuid_leaf(u32 leaf, u32 subleaf, x86::Cr4 guest_cr4, x86::CpuidResult& result)
{
    switch (leaf) {
    case 1: change_cpuid_leaf_1(guest_cr4, result); break;
    case 7:
        if (subleaf == 0)
            result.ecx = with(result.ecx, leaf7_ecx_ospke, has(guest_cr4, x86::Cr4::pke));
        break;
    case ZPP_CPUID_SIGNATURE_LEAF:
        if (shows_zpp(subleaf))
            result = {ZPP_CPUID_VERSION_LEAF, ZPP_SIGNATURE_EBX, ZPP_SIGNATURE_ECX,
                      ZPP_SIGNATURE_EDX};
        break;
    case ZPP_CPUID_VERSION_LEAF:
        if (shows_zpp(subleaf))
            result = {ZPP_VERSION, vendor().feature, current_vcpu().index, machine.cpu_count()};
        break;
    case 0x80000001: result.ecx &= ~(leaf80000001_ecx_svm | leaf80000001_ecx_skinit); break;
    case 0x80000008: limit_address_width(result.eax); break;
    case 0x8000000a: // SVM's own leaf is reserved without SVM
    case 0x8000001f: // memory encryption: its addresses are aliases of the core's
    case 0x80000023: // its keys
    case 0x80000025: // the RMP table of SEV-SNP
        result = {};
        break;
    default: break;
    }
}

} // namespace zpp

#include "emulate.hpp"
#include "machine.hpp"
#include "virt.hpp"

namespace zpp {
namespace {

constexpr u32 leaf1_ecx_vmx = 1u << 5;
constexpr u32 leaf1_ecx_smx = 1u << 6;
constexpr u32 leaf1_ecx_osxsave = 1u << 27;
constexpr u32 leaf1_ecx_hypervisor = 1u << 31;
constexpr u32 leaf7_ecx_ospke = 1u << 4;
constexpr u32 leaf80000001_ecx_svm = 1u << 2;
constexpr u32 leaf80000001_ecx_skinit = 1u << 12;

void mirror(u32& reg, u32 flag, bool set) { reg = set ? reg | flag : reg & ~flag; }

} // namespace

void emulate_cpuid(GuestRegisters& registers, u64 guest_cr4)
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

void change_cpuid_leaf(u32 leaf, u32 subleaf, u64 guest_cr4, x86::CpuidResult& result)
{
    switch (leaf) {
    case 1:
        result.ecx &= ~(leaf1_ecx_vmx | leaf1_ecx_smx);
        result.ecx |= leaf1_ecx_hypervisor;
        mirror(result.ecx, leaf1_ecx_osxsave, (guest_cr4 & x86::cr4_osxsave) != 0);
        break;
    case 7:
        if (subleaf == 0)
            mirror(result.ecx, leaf7_ecx_ospke, (guest_cr4 & x86::cr4_pke) != 0);
        break;
    case ZPP_CPUID_SIGNATURE_LEAF:
        result = {ZPP_CPUID_VERSION_LEAF, ZPP_SIGNATURE_EBX, ZPP_SIGNATURE_ECX, ZPP_SIGNATURE_EDX};
        break;
    case ZPP_CPUID_VERSION_LEAF:
        result = {ZPP_VERSION, vendor().feature, current_vcpu().index, machine.cpu_count()};
        break;
    case 0x80000001:
        result.ecx &= ~(leaf80000001_ecx_svm | leaf80000001_ecx_skinit);
        break;
    case 0x8000000a: // SVM's own leaf is reserved without SVM
        result = {};
        break;
    default:
        break;
    }
}

} // namespace zpp

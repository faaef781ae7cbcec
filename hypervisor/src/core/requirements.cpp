#include "core/requirements.hpp"

namespace zpp {
namespace {

u64 read_cpuid(const CpuReader& cpu, zpp_source source, u32 leaf)
{
    constexpr u32 range = 0x80000000; // of basic or extended leaves
    if (leaf > cpu.cpuid(leaf & range, 0).eax)
        return 0;
    const x86::CpuidResult result = cpu.cpuid(leaf, 0);
    switch (source) {
    case ZPP_CPUID_EAX: return result.eax;
    case ZPP_CPUID_EBX: return result.ebx;
    case ZPP_CPUID_ECX: return result.ecx;
    default: return result.edx;
    }
}

int read(void* context, zpp_source source, u32 index, u64* value)
{
    const auto& cpu = *static_cast<const CpuReader*>(context);
    if (source == ZPP_MSR)
        *value = cpu.msr(x86::Msr{index});
    else if (source == ZPP_CR4)
        *value = raw(cpu.cr4());
    else
        *value = read_cpuid(cpu, source, index);
    return 1;
}

} // namespace

Result check(zpp_group group, const CpuReader& cpu)
{
    const zpp_cpu_reader reader{const_cast<CpuReader*>(&cpu), read};
    int known = 0;
    const zpp_requirement* missing = zpp_first_missing(group, &reader, &known);
    if (missing != nullptr)
        return {missing->status, missing->detail};
    return {};
}

} // namespace zpp

#include "recorded_machines.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

const RecordedCpu* current = nullptr;

x86::CpuidResult read_cpuid(u32 leaf, u32 subleaf) { return current->cpuid(leaf, subleaf); }

x86::Cr4 read_cr4() { return x86::Cr4{current->cr4}; }

} // namespace

x86::CpuidResult RecordedCpu::cpuid(u32 leaf, u32 subleaf) const
{
    for (const zpp_captured_leaf& recorded : leaves)
        if (recorded.leaf == leaf && recorded.subleaf == subleaf)
            return {recorded.eax, recorded.ebx, recorded.ecx, recorded.edx};
    return {};
}

Msrs RecordedCpu::msrs() const
{
    Msrs values;
    for (const zpp_captured_msr& msr : msr_values)
        values[msr.index] = msr.value;
    return values;
}

const RecordedMachine& recorded_machine(const std::string& name)
{
    for (const RecordedMachine& machine : recorded_machines)
        if (machine.name == name)
            return machine;
    FAIL("no such machine: ", name);
    return recorded_machines.front();
}

void use_cpu(const RecordedCpu& cpu)
{
    current = &cpu;
    use_msrs(cpu.msrs());
}

const CpuReader recorded_cpu{read_msr, read_cpuid, read_cr4};

zpp_capture capture_of(const RecordedCpu& cpu)
{
    use_cpu(cpu);
    const zpp_record_cpu reader{
        nullptr,
        [](void*, zpp_captured_leaf* leaf) {
            const x86::CpuidResult result = current->cpuid(leaf->leaf, leaf->subleaf);
            leaf->eax = result.eax;
            leaf->ebx = result.ebx;
            leaf->ecx = result.ecx;
            leaf->edx = result.edx;
        },
        [](void*, u32 index) { return read_msr(x86::Msr{index}); },
    };
    zpp_capture capture{};
    zpp_record(&capture, &reader);
    capture.cr0 = cpu.cr0;
    capture.cr4 = cpu.cr4;
    capture.microcode = cpu.microcode;
    return capture;
}

} // namespace zpp::test

// The machines in tests/host/machines/*.json, as ZppBoot or `zpp-image doctor` record them. To add
// one, put its machine.json there: write_machines.py makes a C++ source of all of them.
#pragma once
#include "core/requirements.hpp"
#include "fake_msrs.hpp"
#include <span>
#include <string>
#include <vector>

extern "C" {
#include "loader/capture.h"
}

namespace zpp::test {

struct RecordedCpu {
    std::span<const zpp_captured_leaf> leaves; // those that are missing are 0
    std::span<const zpp_captured_msr> msr_values;
    u64 cr0, cr4; // 0 if they were not recorded
    u32 microcode;

    x86::CpuidResult cpuid(u32 leaf, u32 subleaf = 0) const;
    Msrs msrs() const;
    unsigned physical_address_bits() const { return cpuid(0x80000008).eax & 0xff; }
};

// What ZppBoot or zpp-image said about the machine, as a launch says it.
struct RecordedVerdict {
    bool runs;
    u32 cpu;
    std::string reason, detail, fix;
};

struct RecordedMachine {
    std::string name; // of the file, without .json
    std::vector<RecordedCpu> cpus;
    RecordedVerdict verdict;

    const RecordedCpu& bsp() const { return cpus.front(); }
    bool has_vtx() const { return (bsp().cpuid(1).ecx & 1u << 5) != 0; }
};

// By name.
extern const std::vector<RecordedMachine> recorded_machines;

const RecordedMachine& recorded_machine(const std::string& name);

// Reads the CPU from use_cpu(), which stays until the next call. An MSR that was not recorded does
// not exist: reading it fails the test.
void use_cpu(const RecordedCpu& cpu);
extern const CpuReader recorded_cpu;

// Records it again, with the loaders' own code.
zpp_capture capture_of(const RecordedCpu& cpu);

} // namespace zpp::test

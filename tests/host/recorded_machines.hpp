// Machines as their owners recorded them: CPUID, and on Intel the capability MSRs of VMX.
#pragma once
#include "fake_msrs.hpp"
#include "x86/instructions.hpp"
#include <string>
#include <vector>

namespace zpp::test {

struct RecordedLeaf {
    u32 leaf, subleaf;
    x86::CpuidResult result;
};

struct RecordedMachine {
    std::string name;
    std::vector<RecordedLeaf> leaves; // those that are missing are 0
    Msrs msrs;                        // empty on AMD

    x86::CpuidResult cpuid(u32 leaf, u32 subleaf) const;
};

extern const std::vector<RecordedMachine> recorded_machines;

const RecordedMachine& recorded_machine(const std::string& name);

} // namespace zpp::test

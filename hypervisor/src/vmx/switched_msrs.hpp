// Switches the MSRs of feature_controls.hpp off for the launch, and back for the OS.
#pragma once
#include "vmx/feature_controls.hpp"

namespace zpp::vmx {

// The OS's values of these MSRs. While it exists, they are 0 on this CPU.
class SwitchedMsrs {
public:
    // Switches off what the CPU has of them.
    SwitchedMsrs();
    void write_to_vmcs() const;
    void restore() const; // if the launch fails

    // Gives the guest's values back to the CPU.
    static void restore_from_vmcs();

private:
    u64 values_[switched_msr_count];
};

} // namespace zpp::vmx

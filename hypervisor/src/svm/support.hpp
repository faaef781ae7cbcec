// What this CPU's VMCB does for features of the guest (features.hpp), by CPUID.8000000AH:EDX.
// Instructions that an intercept of the VMCB can turn off need nothing.
#pragma once
#include "emulate/features.hpp"

namespace zpp::svm {

constexpr u32 svm_invlpgb_tlbsync = 1u << 24; // INVLPGB/TLBSYNC hypervisor enable

constexpr Support support(u32 svm_features)
{
    constexpr Support without_control =
        Support::rdtscp | Support::invpcid | Support::xsaves | Support::user_wait;
    return (svm_features & svm_invlpgb_tlbsync) != 0 ? without_control | Support::invlpgb
                                                     : without_control;
}

} // namespace zpp::svm

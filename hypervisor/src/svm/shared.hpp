// What the CPUs share under AMD-V, built at PREPARE.
#pragma once
#include "lib/types.hpp"

namespace zpp::svm {

struct Shared {
    u64 nested_cr3;
    u64 msrpm;           // host-physical
    bool next_rip;       // CPUID.8000000AH:EDX.NRIPS
    bool decode_assists; // EDX.DecodeAssists
    u64 efer_allowed;    // bits of EFER that the guest may set
    u64 host_cr4;        // bits of CR4 that the host adds to those of the OS
};

extern Shared shared;

constexpr u32 asid = 1; // each CPU has one guest context, and its own TLB

} // namespace zpp::svm

// What all CPUs share under AMD-V, set at PREPARE.
#pragma once
#include "lib/address.hpp"
#include "x86/control_registers.hpp"

namespace zpp::svm {

struct Shared {
    Hpa nested_cr3;
    Hpa open_nested_cr3;    // the guest can write the xAPIC's page
    Hpa msrpm;              // MSR permissions map
    Hpa iopm;               // I/O permissions map; 0 for none
    bool next_rip;          // CPUID.8000000AH:EDX.NRIPS
    bool decode_assists;    // EDX.DecodeAssists
    bool spec_ctrl;         // EDX.SpecCtrl: SPEC_CTRL is virtualized
    bool virtual_nmi;       // EDX.VNMI
    bool watches_cr0;       // see cr0.hpp
    x86::Efer efer_allowed; // bits that the guest can set
    x86::Cr4 host_cr4;      // bits that the host sets besides those of the OS
};

extern Shared shared;

constexpr u32 asid = 1; // one guest for each CPU, which has its own TLB

} // namespace zpp::svm

// The SVM instructions that C++ code uses (AMD APM Vol. 3). VMRUN is in entry.S.
#pragma once
#include "lib/address.hpp"

namespace zpp::svm {

inline void vmload(HostPhysical vmcb) { asm volatile("vmload %0" : : "a"(vmcb.value) : "memory"); }
inline void vmsave(HostPhysical vmcb) { asm volatile("vmsave %0" : : "a"(vmcb.value) : "memory"); }
inline void clgi() { asm volatile("clgi" : : : "memory"); }
inline void stgi() { asm volatile("stgi" : : : "memory"); }

// Lets what waits for GIF arrive: an NMI, or #SX for an INIT. The host's IDT takes it.
inline void open_window() { asm volatile("stgi; nop; nop; clgi" : : : "memory"); }

// Halts until an NMI or #SX has been taken, however early it came (halt.S). The host's NMI and #SX
// handlers call skip_halt() on where they return to: an NMI right before HLT must not be slept over.
extern "C" void zpp_svm_halt();
extern "C" const char zpp_svm_halt_instruction[], zpp_svm_halt_end[];
inline void skip_halt(u64& rip)
{
    if (rip == reinterpret_cast<u64>(zpp_svm_halt_instruction))
        rip = reinterpret_cast<u64>(zpp_svm_halt_end);
}

} // namespace zpp::svm

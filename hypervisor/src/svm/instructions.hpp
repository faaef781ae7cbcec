// SVM instructions (AMD APM Vol. 3). VMRUN is in entry.S.
#pragma once
#include "lib/address.hpp"

namespace zpp::svm {

inline void vmload(Hpa vmcb) { asm volatile("vmload %0" : : "a"(vmcb.value) : "memory"); }
inline void vmsave(Hpa vmcb) { asm volatile("vmsave %0" : : "a"(vmcb.value) : "memory"); }
inline void clgi() { asm volatile("clgi" : : : "memory"); }
inline void stgi() { asm volatile("stgi" : : : "memory"); }

// Sets GIF for a moment, so that the CPU takes what is pending: an SMI goes to SMM, an NMI, and an
// INIT as #SX, to the host's IDT, whose handlers record it.
inline void open_window() { asm volatile("stgi; nop; nop; clgi" : : : "memory"); }

} // namespace zpp::svm

// The SVM instructions that C++ code uses (AMD APM Vol. 3). VMRUN is in entry.S.
#pragma once
#include "lib/address.hpp"

namespace zpp::svm {

inline void vmload(Hpa vmcb) { asm volatile("vmload %0" : : "a"(vmcb.value) : "memory"); }
inline void vmsave(Hpa vmcb) { asm volatile("vmsave %0" : : "a"(vmcb.value) : "memory"); }
inline void clgi() { asm volatile("clgi" : : : "memory"); }
inline void stgi() { asm volatile("stgi" : : : "memory"); }

// Lets what waits for GIF arrive: an NMI, or #SX for an INIT. The host's IDT takes it.
inline void open_window() { asm volatile("stgi; nop; nop; clgi" : : : "memory"); }

} // namespace zpp::svm

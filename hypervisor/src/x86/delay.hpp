// Waiting without interrupts, for a crash: nothing is prepared for it, and it takes over channel 2 of
// the timer (8254 data sheet; it drives the speaker).
#pragma once
#include "x86/ports.hpp"

namespace zpp::x86 {

// Counts on the timer. Some machines gate its clock; there the TSC counts, if CPUID says how fast
// (leaves 15H and 16H), else reads of port 80H, which take about a microsecond.
void wait_milliseconds(u32 milliseconds, const Ports& ports = real_ports);

// By CPUID, leaves 15H and 16H; 0 if unknown.
u64 tsc_hz(const Ports& ports);

} // namespace zpp::x86

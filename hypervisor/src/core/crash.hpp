// A crash of the core: writes a report to the log, then stops the CPU.
#pragma once
#include "core/vcpu.hpp"
#include "x86/exceptions.hpp"

namespace zpp {

// On a VM exit that the core cannot handle.
[[noreturn]] void crash_on_exit(const char* why, const GuestRegisters& registers);

// On an exception in the host.
[[noreturn]] void crash_on_exception(const x86::ExceptionFrame& frame);

// On a state that cannot be.
[[noreturn]] void crash(const char* why, u64 value);

// Writes the report and returns: the guest's registers, the control block, the last exits.
void report_guest(const char* why, const GuestRegisters& registers);

} // namespace zpp

// A crash of the core: writes a report to the log, stops all CPUs, and resets the machine.
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

} // namespace zpp

// The end: a report on the log, then the CPU stops. Never returns, never resumes a guest.
#pragma once
#include "core/vcpu.hpp"
#include "x86/exceptions.hpp"

namespace zpp {

// A VM exit that the core cannot handle.
[[noreturn]] void crash_on_exit(const char* why, const GuestRegisters& registers);

// An exception in the host's own code.
[[noreturn]] void crash_on_exception(const x86::ExceptionFrame& frame);

// A state the host must never be in.
[[noreturn]] void crash(const char* why, u64 value);

// The report alone: the guest's registers, the control block and the last exits.
void report_guest(const char* why, const GuestRegisters& registers);

} // namespace zpp

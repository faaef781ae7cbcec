// RDMSR and WRMSR that exit. Each vendor has a table of the MSRs that it hides or emulates.
#pragma once
#include "core/guest_registers.hpp"
#include "emulate/vm_exit.hpp"
#include "x86/msr.hpp"

namespace zpp {

// Handles a range of MSRs. nullptr: the guest accesses the MSRs itself, without an exit.
struct MsrHandler {
    x86::Msr first, last;
    Outcome (*read)(x86::Msr msr, u64& value);
    Outcome (*write)(x86::Msr msr, u64 value);
};

// A vendor's table.
class MsrHandlers {
public:
    template <std::size_t count>
    constexpr MsrHandlers(const MsrHandler (&table)[count]) : begin_(table), end_(table + count)
    {
    }
    const MsrHandler* begin() const { return begin_; }
    const MsrHandler* end() const { return end_; }

private:
    const MsrHandler *begin_, *end_;
};

// For tables: #GP, or a write that has no effect.
Outcome refuse_rdmsr(x86::Msr msr, u64& value);
Outcome refuse_wrmsr(x86::Msr msr, u64 value);
Outcome ignore_wrmsr(x86::Msr msr, u64 value);

// Writes the CPU's MSR; #GP if the CPU refuses the value.
Outcome pass_wrmsr(x86::Msr msr, u64 value);

// What the guest reads; `value` is valid if the outcome is `advance`.
[[nodiscard]] Outcome read_msr(MsrHandlers handlers, x86::Msr msr, u64& value);

[[nodiscard]] Outcome emulate_rdmsr(MsrHandlers handlers, const VmExit& exit,
                                    GuestRegisters& registers);
[[nodiscard]] Outcome emulate_wrmsr(MsrHandlers handlers, const VmExit& exit);

// Calls intercept(context, first, last, read, write) for each range of MSRs that must exit: those
// of the table, and writes to MTRRs if nested paging depends on them.
void for_each_intercepted_msr(MsrHandlers handlers,
                              void (*intercept)(void* context, x86::Msr first, x86::Msr last,
                                                bool read, bool write),
                              void* context);

} // namespace zpp

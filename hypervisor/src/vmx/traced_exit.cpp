// The exit handler while the trace is on.
#include "emulate/trace.hpp"
#include "vmx/exit_reason.hpp"
#include "vmx/guest.hpp"

namespace zpp::vmx {

extern "C" {
void zpp_vmx_on_exit(GuestRegisters& registers);
void zpp_vmx_on_traced_exit(GuestRegisters& registers);
}

namespace {

trace::Exit read_exit(u32 reason)
{
    trace::Exit exit{.reason = reason,
                     .cs = vmcs::read(guest_cs.selector),
                     .qualification = vmcs::read(FieldNatural::exit_qualification),
                     .has_detail = true,
                     .detail = {}};
    switch (static_cast<ExitReason>(static_cast<u16>(reason))) {
    case ExitReason::ept_violation:
    case ExitReason::ept_misconfiguration:
        exit.detail[0] = vmcs::read(Field64::guest_physical_address);
        break;
    case ExitReason::exception_or_nmi:
        exit.detail[0] = vmcs::read(Field32::exit_interruption_information);
        exit.detail[1] = vmcs::read(Field32::exit_interruption_error_code);
        break;
    default: exit.has_detail = false;
    }
    return exit;
}

} // namespace

void zpp_vmx_on_traced_exit(GuestRegisters& registers)
{
    constexpr u32 entry_failure = 1u << 31;
    const u32 reason = vmcs::read(Field32::exit_reason);
    if ((reason & entry_failure) == 0)
        trace::write_exit(Guest{current_vcpu(), registers}, read_exit(reason));
    zpp_vmx_on_exit(registers);
}

} // namespace zpp::vmx

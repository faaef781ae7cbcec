#include "svm/exception.hpp"
#include "emulate/handle.hpp"

namespace zpp::svm {
namespace {

bool is_hidden_instruction(Guest& guest, const VmExit& exit)
{
    if (exit.value != 0 || guest.cpl() == 0 || x86::is_event(guest.vmcb.exit_interrupt_info))
        return false;
    const GuestCode code = guest.code_at_rip();
    return is_privileged_svm(code.bytes, code.count, guest.code_size());
}

} // namespace

// Each #GP is delivered by injection, and RIP stays until its handler runs. Bochs shows the last one
// again in the exit info of an INT n that faults.
bool is_stale(const Guest& guest, x86::Event delivered)
{
    return delivered.is_exception() && delivered.vector() == x86::vector_general_protection &&
           guest.rip() != state_of(guest.vcpu).fault_rip;
}

// The intercept comes before the CPU combines exceptions to a double fault (APM Vol. 2, 15.12).
Outcome on_general_protection(Guest& guest, const VmExit& exit)
{
    if (is_hidden_instruction(guest, exit))
        return Outcome::undefined_opcode;
    const u64 delivered = guest.vmcb.exit_interrupt_info;
    const x86::Event fault = x86::Event::exception(x86::vector_general_protection, guest.cr0(),
                                                   static_cast<u32>(exit.value));
    const x86::Event first{static_cast<u32>(delivered)};
    const bool nested = x86::is_event(delivered) && !is_stale(guest, first);
    state_of(guest.vcpu).fault_rip = guest.rip();
    if (!nested) {
        inject_fault(guest, x86::vector_general_protection);
        guest.inject(fault);
        return Outcome::retry;
    }
    switch (x86::meet(first, fault)) {
    case x86::Meeting::second: guest.inject(fault); break;
    case x86::Meeting::double_fault:
        guest.inject(x86::Event::exception(x86::vector_double_fault, guest.cr0()));
        break;
    case x86::Meeting::shutdown: on_triple_fault(guest);
    }
    return Outcome::retry;
}

} // namespace zpp::svm

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

// The intercept comes before the CPU combines exceptions to a double fault (APM Vol. 2, 15.12).
Outcome on_general_protection(Guest& guest, const VmExit& exit)
{
    if (is_hidden_instruction(guest, exit))
        return Outcome::undefined_opcode;
    const x86::Event event = x86::Event::exception(x86::vector_general_protection);
    const u64 delivered = guest.vmcb.exit_interrupt_info;
    const x86::Event first{static_cast<u32>(delivered)};
    const auto combined = x86::is_event(delivered) && first.is_exception()
                              ? x86::nested(first.vector(), x86::vector_general_protection)
                              : x86::Nested::itself;
    switch (combined) {
    case x86::Nested::itself: guest.inject(event, static_cast<u32>(exit.value)); break;
    case x86::Nested::double_fault:
        guest.inject(x86::Event::exception(x86::vector_double_fault));
        break;
    case x86::Nested::shutdown: on_triple_fault(guest);
    }
    return Outcome::retry;
}

} // namespace zpp::svm

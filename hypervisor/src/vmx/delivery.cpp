#include "vmx/delivery.hpp"
#include "emulate/handle.hpp"

namespace zpp::vmx {
namespace {

constexpr u64 nmi_unblocking_due_to_iret = bit(12); // of the qualification of EPT violations

void block_nmis(bool on)
{
    const Interruptibility old{vmcs::read(Field32::guest_interruptibility)};
    const Interruptibility rest = old & ~Interruptibility::blocking_by_nmi;
    const Interruptibility now = on ? rest | Interruptibility::blocking_by_nmi : rest;
    if (now != old)
        vmcs::write(Field32::guest_interruptibility, now);
}

} // namespace

InterruptedEvent interrupted_event()
{
    constexpr u32 undefined = 1u << 12;
    InterruptedEvent interrupted{{vmcs::read(Field32::idt_vectoring_information) & ~undefined}, 0};
    if (!interrupted.exists())
        return interrupted;
    if (interrupted.event.has_error_code())
        interrupted.event.code = vmcs::read(Field32::idt_vectoring_error_code);
    if (interrupted.event.is_software())
        interrupted.instruction_length = vmcs::read(Field32::exit_instruction_length);
    return interrupted;
}

void resume_delivery(Guest& guest)
{
    const auto [event, instruction_length] = interrupted_event();
    if (!x86::is_event(event.value)) {
        // The IRET that ends an NMI handler starts again, so NMIs are blocked again.
        if ((vmcs::read(FieldNatural::exit_qualification) & nmi_unblocking_due_to_iret) != 0)
            block_nmis(true);
        return;
    }
    const x86::Event injected{vmcs::read(Field32::entry_interruption_information)};
    if (x86::is_event(injected.value)) {
        switch (x86::meet(event, injected)) {
        case x86::Meeting::second: return;
        case x86::Meeting::double_fault:
            return guest.inject(x86::Event::exception(x86::vector_double_fault, guest.cr0()));
        case x86::Meeting::shutdown: on_triple_fault(guest);
        }
    }
    guest.inject(event);
    if (event.is_software())
        vmcs::write(Field32::entry_instruction_length, instruction_length);
    if (event.is_nmi())
        block_nmis(false); // VM entry blocks them
}

} // namespace zpp::vmx

// An event whose delivery a VM exit has interrupted, as an access to guest memory that nested paging
// does not allow can (SDM Vol. 3C, 28.2.4).
#pragma once
#include "vmx/guest.hpp"

namespace zpp::vmx {

struct InterruptedEvent {
    x86::Event event;
    u32 instruction_length; // of INT n, INT3, INTO or INT1

    bool exists() const { return x86::is_event(event.value); }
};

InterruptedEvent interrupted_event();

// The next VM entry delivers the event again. If the handler of the exit has injected an exception,
// the guest gets that one, or #DF if the CPU makes one of the two.
void resume_delivery(Guest& guest);

} // namespace zpp::vmx

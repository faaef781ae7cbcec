// The state of a local APIC after an INIT (SDM Vol. 3A, 11.4.7.3; AMD APM Vol. 2, 16.3). Pure logic: the
// registers are accessed through functions.
#pragma once
#include "lib/types.hpp"

namespace zpp {

struct ApicRegisters {
    u32 (*read)(u32 offset); // offsets in the xAPIC page, in either mode
    void (*write)(u32 offset, u32 value);

    // Takes the pending interrupt of the highest priority, and ends it with an EOI.
    void (*take_interrupt)();
};

// Brings an enabled local APIC into the INIT state. Its ID stays; IRR and ISR end up empty but for
// vectors below 32. The ICR and the trigger mode register cannot be written and stay as well.
void reset_apic(const ApicRegisters& apic, bool x2apic);

} // namespace zpp

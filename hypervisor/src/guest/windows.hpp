// Windows: pages of this CPU that show a page of the guest's memory for a moment.
#pragma once
#include "core/vcpu.hpp"
#include "lib/address.hpp"

namespace zpp {

// The windows before it: one for each level of a page walk.
constexpr unsigned last_window = ZPP_CPU_WINDOWS - 1;

// Returns a pointer to guest-physical memory, valid until the next use of the window; nullptr if
// the memory is hidden. A window that already maps the page stays as it is.
const u8* look_at(Vcpu& vcpu, unsigned window, Gpa address);

// Stores within a page. As the guest's own stores, those to hidden memory go nowhere.
void store(Vcpu& vcpu, Gpa address, const void* bytes, u64 size);
void store_bits(Vcpu& vcpu, Gpa address, u32 bits); // atomically, besides those that are set

} // namespace zpp

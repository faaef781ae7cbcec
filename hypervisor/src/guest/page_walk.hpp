// A walk of the guest's own page tables in software, for fetching its code (SDM Vol. 3A, ch. 5).
// Pure logic: physical memory is read through a function. No permission is checked: the CPU has
// just executed there.
#pragma once
#include "lib/address.hpp"
#include <optional>

namespace zpp {

struct GuestPaging {
    u64 cr0, cr3, cr4, efer;
};

// Reads 8 bytes (or 4 for the 32-bit formats) at a guest-physical address; nothing if it must not.
using ReadGuest = std::optional<u64> (*)(void* context, GuestPhysical address, unsigned size);

std::optional<GuestPhysical> walk(const GuestPaging& paging, u64 linear, ReadGuest read,
                                  void* context);

} // namespace zpp

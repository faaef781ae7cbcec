// A walk of the guest's own page tables in software, for fetching its code (SDM Vol. 3A, ch. 5).
// Pure logic: physical memory is read through a function. No permission is checked: the CPU has
// just executed there.
#pragma once
#include "lib/address.hpp"
#include "x86/control_registers.hpp"
#include <optional>

namespace zpp {

struct GuestPaging {
    x86::Cr0 cr0;
    u64 cr3;
    x86::Cr4 cr4;
    x86::Efer efer;
};

// Reads 8 bytes (or 4 for the 32-bit formats) at a guest-physical address; nothing if it must not.
using ReadGuest = std::optional<u64> (*)(void* context, Gpa address, unsigned size);

std::optional<Gpa> walk(const GuestPaging& paging, Gva address, ReadGuest read, void* context);

} // namespace zpp

// Walks the guest's page tables, to fetch its code (SDM Vol. 3A, ch. 5). Pure logic: memory is read
// through a function. It checks no permissions: the CPU has just executed this code.
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

// Whether 64-bit paging can have this address. Other paging takes its lower 32 bits.
constexpr bool is_canonical(const GuestPaging& paging, Gva address)
{
    if (!has(paging.efer, x86::Efer::lma))
        return true;
    const unsigned unused = has(paging.cr4, x86::Cr4::la57) ? 64 - 57 : 64 - 48;
    return static_cast<u64>(static_cast<std::int64_t>(address.value << unused) >> unused) ==
           address.value;
}

// Reads 8 bytes, or 4 in 32-bit paging; returns nothing if the guest has no memory there.
using ReadGuest = std::optional<u64> (*)(void* context, Gpa address, unsigned size);

std::optional<Gpa> walk(const GuestPaging& paging, Gva address, ReadGuest read, void* context);

} // namespace zpp

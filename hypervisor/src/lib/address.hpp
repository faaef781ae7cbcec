// Guest-virtual, guest-physical and host-physical addresses are different types. Host-virtual
// addresses are pointers.
#pragma once
#include "lib/types.hpp"
#include <compare>

namespace zpp {

template <class Kind> struct Address {
    u64 value;

    auto operator<=>(const Address&) const = default;

    constexpr Address page() const { return {value & ~(page_size - 1)}; }
    constexpr u64 offset_in_page() const { return value % page_size; }

    friend constexpr Address operator+(Address address, u64 bytes)
    {
        return {address.value + bytes};
    }
    friend constexpr u64 operator-(Address to, Address from) { return to.value - from.value; }
};

using Gva = Address<struct GuestVirtual>; // linear, as the CPU uses it after segmentation
using Gpa = Address<struct GuestPhysical>;
using Hpa = Address<struct HostPhysical>;
static_assert(sizeof(Hpa) == sizeof(u64));

} // namespace zpp

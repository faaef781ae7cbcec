// Address kinds that do not mix: a guest-physical address is no host-physical one.
#pragma once
#include "lib/types.hpp"
#include <compare>

namespace zpp {

struct HostPhysical {
    u64 value;
    auto operator<=>(const HostPhysical&) const = default;
};

struct GuestPhysical {
    u64 value;
    auto operator<=>(const GuestPhysical&) const = default;
};

} // namespace zpp

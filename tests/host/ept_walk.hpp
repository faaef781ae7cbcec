// A walk of EPT tables as the manual describes them (SDM Vol. 3C, 29.3.2, tables 29-1 to 29-7),
// without any of the core's code, and so its judge.
#pragma once
#include "lib/types.hpp"
#include <functional>

namespace zpp::test {

struct EptLeaf {
    u64 base, size; // guest-physical, bytes
    u64 physical;
    u8 type; // bits 5:3
};

struct EptWalk {
    unsigned levels;
    std::function<const u64*(u64 physical)> table_at; // 512 entries

    std::function<void(const EptLeaf&)> on_leaf;
    std::function<void(unsigned level, u64 base, u64 physical)> on_table; // may be empty
    u64 misconfigured = 0; // entries that would be an EPT misconfiguration
    u64 unmapped = 0;      // bytes
};

// Calls on_leaf for every mapping, in order of address.
void walk(EptWalk& walk, u64 root);

} // namespace zpp::test

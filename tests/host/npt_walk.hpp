// A walk of nested page tables as the manual describes them (AMD APM Vol. 2, 5.3, 15.25.5), without
// any of the core's code, and so its judge.
#pragma once
#include "lib/types.hpp"
#include <functional>

namespace zpp::test {

struct NptLeaf {
    u64 base, size; // guest-physical, bytes
    u64 physical;
    bool writable;
};

struct NptWalk {
    unsigned levels;
    std::function<const u64*(u64 physical)> table_at; // 512 entries

    std::function<void(const NptLeaf&)> on_leaf;
    u64 malformed = 0; // entries that would fault, or not be write-back
    u64 unmapped = 0;  // bytes
};

// Calls on_leaf for every mapping, in order of address.
void walk(NptWalk& walk, u64 root);

} // namespace zpp::test

// A walk of a CPU's page tables as the manual describes it (SDM Vol. 3A, 4.5 and 4.6), without any
// of the loader's code, and so its judge. 4 KiB pages only: anything larger is a failure.
#pragma once
#include "lib/types.hpp"
#include <functional>
#include <map>
#include <optional>

namespace zpp::test {

struct Mapping {
    u64 physical;
    bool writable, executable, user;
};

// 512 entries of the table at this physical address.
using TableAt = std::function<const u64*(u64 physical)>;

std::optional<Mapping> translate(const TableAt& table_at, u64 root, unsigned levels, u64 address);

// Every mapped page, by its virtual address.
std::map<u64, Mapping> all_mappings(const TableAt& table_at, u64 root, unsigned levels);

} // namespace zpp::test

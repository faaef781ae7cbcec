// The format of EPT entries and of the EPTP (SDM Vol. 3C, 29.3.2 and 25.6.11).
#pragma once
#include "paging/nested_paging.hpp"

namespace zpp::vmx::ept {

constexpr u64 access_all = 7; // read, write, execute
constexpr u64 access_write = 2;
constexpr u64 large_page = bit(7);

inline u64 leaf(Hpa page, MemoryType type, unsigned level, bool writable)
{
    return page.value | (writable ? access_all : access_all & ~access_write) |
           u64{static_cast<u8>(type)} << 3 | (level > 1 ? large_page : 0);
}

inline u64 table(Hpa table) { return table.value | access_all; }

inline bool is_table(u64 entry, unsigned level)
{
    return level > 3 || (level > 1 && (entry & large_page) == 0);
}

// The uppermost bits of a physical address that select a key of MKTME; MAXPHYADDR counts them.
// tme_activate: IA32_TME_ACTIVATE, 0 without TME.
constexpr unsigned key_bits(u64 tme_activate)
{
    constexpr u64 enable = bit(1);
    return (tme_activate & enable) != 0 ? (tme_activate >> 32) & 15 : 0;
}

constexpr NestedPaging::Format format(unsigned physical_bits, unsigned key_bits, bool pages_1g,
                                      bool five_levels)
{
    const unsigned usable = physical_bits - key_bits;
    const bool five = five_levels && usable > 48;
    const unsigned reach = five ? 57 : 48;
    return {.levels = five ? 5u : 4u,
            .largest_leaf = pages_1g ? 3u : 2u,
            .address_bits = usable < reach ? usable : reach,
            .guest_bits = physical_bits < reach ? physical_bits : reach,
            .leaf = leaf,
            .table = table,
            .is_table = is_table};
}

constexpr u64 pointer(Hpa root, unsigned levels)
{
    return root.value | static_cast<u8>(MemoryType::write_back) | (levels - 1) << 3;
}

} // namespace zpp::vmx::ept

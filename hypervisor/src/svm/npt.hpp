// The format of nested page table entries: as in long mode, always user pages (AMD APM Vol. 2,
// 15.25.5). They all select entry 0 of the host's PAT, which is WB, so the guest's PAT and the
// MTRRs decide.
#pragma once
#include "paging/nested_paging.hpp"

namespace zpp::svm::npt {

constexpr u64 access = bit(0) | bit(2) | bit(5); // present, user, accessed
constexpr u64 writable = bit(1) | bit(6);        // and dirty
constexpr u64 large_page = bit(7);

inline u64 leaf(Hpa page, MemoryType, unsigned level, bool may_write)
{
    return page.value | access | (may_write ? writable : 0) | (level > 1 ? large_page : 0);
}

inline u64 table(Hpa table) { return table.value | access | bit(1); }

inline bool is_table(u64 entry, unsigned level)
{
    return level > 3 || (level > 1 && (entry & large_page) == 0);
}

// The width of physical addresses while SYSCFG enables memory encryption: fewer bits, and below the
// C-bit. encryption_ebx: CPUID.8000001FH:EBX.
constexpr unsigned encrypted_width(unsigned physical_bits, u32 encryption_ebx)
{
    const unsigned c_bit = encryption_ebx & 63, reduction = encryption_ebx >> 6 & 63;
    const unsigned reduced = physical_bits > reduction ? physical_bits - reduction : physical_bits;
    return c_bit < reduced && c_bit != 0 ? c_bit : reduced;
}

// usable_bits: physical_bits, or encrypted_width(). levels: NPT has those of the host's paging mode
// (CR4.LA57).
constexpr NestedPaging::Format format(unsigned physical_bits, unsigned usable_bits, bool pages_1g,
                                      unsigned levels)
{
    const unsigned reach = levels == 5 ? 57 : 48;
    return {.levels = levels,
            .largest_leaf = pages_1g ? 3u : 2u,
            .address_bits = usable_bits < reach ? usable_bits : reach,
            .guest_bits = physical_bits < reach ? physical_bits : reach,
            .leaf = leaf,
            .table = table,
            .is_table = is_table};
}

} // namespace zpp::svm::npt

#include "guest/page_walk.hpp"
#include "x86/control_registers.hpp"
#include "x86/msr.hpp"

namespace zpp {
namespace {

struct Format {
    unsigned levels, index_bits, entry_size;
    unsigned highest_leaf; // highest level with large pages
};

constexpr u64 present = bit(0);
constexpr u64 large = bit(7);
constexpr u64 address_mask = 0x000ffffffffff000;

Format format_of(const GuestPaging& paging)
{
    if (has(paging.efer, x86::Efer::lma))
        return {has(paging.cr4, x86::Cr4::la57) ? 5u : 4u, 9, 8, 3};
    if (has(paging.cr4, x86::Cr4::pae))
        return {3, 9, 8, 2};
    return {2, 10, 4, has(paging.cr4, x86::Cr4::pse) ? 2u : 1u};
}

u64 root_of(const GuestPaging& paging, const Format& format)
{
    switch (format.levels) {
    case 2: return paging.cr3 & 0xfffff000;
    case 3: return paging.cr3 & 0xffffffe0;
    default: return paging.cr3 & address_mask;
    }
}

Gpa leaf_address(u64 entry, u64 linear, unsigned shift, const Format& format)
{
    const u64 offset = linear & (bit(shift) - 1);
    u64 base = entry & address_mask & ~(bit(shift) - 1);
    if (format.entry_size == 4 && shift > 12) // PSE-36: bits 20:13 are address bits 39:32
        base = (entry & 0xffc00000) | ((entry >> 13) & 0xff) << 32;
    return {base | offset};
}

} // namespace

std::optional<Gpa> walk(const GuestPaging& paging, Gva address, ReadGuest read, void* context)
{
    u64 linear = address.value;
    if (!has(paging.cr0, x86::Cr0::pg))
        return Gpa{static_cast<u32>(linear)};
    const Format format = format_of(paging);
    if (format.levels <= 3)
        linear = static_cast<u32>(linear);
    u64 table = root_of(paging, format);
    for (unsigned level = format.levels;; --level) {
        const unsigned shift = 12 + format.index_bits * (level - 1);
        const u64 index = (linear >> shift) & (bit(format.index_bits) - 1);
        const auto entry = read(context, {table + index * format.entry_size}, format.entry_size);
        if (!entry || (*entry & present) == 0)
            return std::nullopt;
        if (level == 1 || (level <= format.highest_leaf && (*entry & large) != 0))
            return leaf_address(*entry, linear, shift, format);
        table = *entry & address_mask;
    }
}

} // namespace zpp

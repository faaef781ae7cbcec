#include "core/host_paging.hpp"
#include "core/machine.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"

namespace zpp {
namespace {

constexpr u64 address_mask = 0x000ffffffffff000;
constexpr u64 flags = bit(0) | bit(5) | bit(6) | bit(63); // present, accessed, dirty, no execute
constexpr u64 flag_writable = bit(1);
constexpr u64 flag_large = bit(7); // in a page directory: 2 MiB
constexpr u64 large_page_size = 512 * page_size;
constexpr u64 table_flags = bit(0) | bit(1) | bit(5); // present, writable, accessed
constexpr u64 flags_uncacheable = bit(3) | bit(4);    // PWT and PCD: entry 3 of the PAT, UC

constexpr u64 index(u64 address, unsigned level)
{
    return (address >> (12 + 9 * (level - 1))) & 511;
}

bool build_table(u64& entry)
{
    const void* page = machine.allocate_page();
    if (page == nullptr)
        return false;
    entry = machine.physical_of(page).value | table_flags;
    return true;
}

// The table of this level that maps an address.
u64* build_table_of(u64 address, unsigned lowest)
{
    auto* table = static_cast<u64*>(machine.virtual_of({x86::read_cr3() & address_mask}));
    for (unsigned level = has(x86::read_cr4(), x86::Cr4::la57) ? 5 : 4; level > lowest; --level) {
        u64& entry = table[index(address, level)];
        if (entry == 0 && !build_table(entry))
            return nullptr;
        table = static_cast<u64*>(machine.virtual_of({entry & address_mask}));
    }
    return table;
}

} // namespace

u64* build_page_table(u64 address) { return build_table_of(address, 1); }

volatile void* map_device(u64 address, Hpa first, u64 size)
{
    const u64 offset = first.value % large_page_size;
    const u64 pages = (offset + size + large_page_size - 1) / large_page_size;
    if (size > 512 * large_page_size || pages > 512)
        return nullptr;
    u64* directory = build_table_of(address, 2);
    if (directory == nullptr)
        return nullptr;
    for (u64 i = 0; i < pages; ++i)
        directory[i] = (first.value - offset + i * large_page_size) | flags | flag_writable |
                       flag_large | flags_uncacheable;
    return reinterpret_cast<volatile u8*>(address) + offset;
}

u64* host_page_entry(const void* page)
{
    const auto address = reinterpret_cast<u64>(page);
    return build_page_table(address) + index(address, 1); // which builds nothing: it is mapped
}

void unmap(const void* page) { unmap(host_page_entry(page), page); }

void unmap(u64* entry, const void* page)
{
    *entry = 0;
    asm volatile("invlpg (%0)" : : "r"(page) : "memory");
}

void remap(u64* entry, const void* page, Hpa target, Caching caching, bool writable)
{
    *entry = target.value | flags | (writable ? flag_writable : 0) |
             (caching == Caching::uncacheable ? flags_uncacheable : 0);
    asm volatile("invlpg (%0)" : : "r"(page) : "memory");
}

} // namespace zpp

#include "core/host_paging.hpp"
#include "core/machine.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"

namespace zpp {
namespace {

constexpr u64 address_mask = 0x000ffffffffff000;
constexpr u64 flags = bit(0) | bit(5) | bit(6) | bit(63); // present, accessed, dirty, no execute
constexpr u64 flag_writable = bit(1);
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

} // namespace

u64* build_page_table(u64 address)
{
    auto* table = static_cast<u64*>(machine.virtual_of({x86::read_cr3() & address_mask}));
    for (unsigned level = has(x86::read_cr4(), x86::Cr4::la57) ? 5 : 4; level > 1; --level) {
        u64& entry = table[index(address, level)];
        if (entry == 0 && !build_table(entry))
            return nullptr;
        table = static_cast<u64*>(machine.virtual_of({entry & address_mask}));
    }
    return table;
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

#include "core/host_paging.hpp"
#include "core/machine.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"

namespace zpp {
namespace {

constexpr u64 address_mask = 0x000ffffffffff000;
constexpr u64 flags = bit(0) | bit(5) | bit(6) | bit(63); // present, accessed, dirty, no execute
constexpr u64 flag_writable = bit(1);
constexpr u64 flags_uncacheable = bit(3) | bit(4); // PWT and PCD: entry 3 of the PAT, UC

} // namespace

u64* host_page_entry(const void* page)
{
    const auto address = reinterpret_cast<u64>(page);
    unsigned level = has(x86::read_cr4(), x86::Cr4::la57) ? 5 : 4;
    u64 table = x86::read_cr3() & address_mask;
    for (;; --level) {
        auto* entries = static_cast<u64*>(machine.virtual_of({table}));
        u64* entry = &entries[(address >> (12 + 9 * (level - 1))) & 511];
        if (level == 1)
            return entry;
        table = *entry & address_mask;
    }
}

void unmap(const void* page)
{
    *host_page_entry(page) = 0;
    asm volatile("invlpg (%0)" : : "r"(page) : "memory");
}

void remap(u64* entry, const void* page, Hpa target, Caching caching, bool writable)
{
    *entry = target.value | flags | (writable ? flag_writable : 0) |
             (caching == Caching::uncacheable ? flags_uncacheable : 0);
    asm volatile("invlpg (%0)" : : "r"(page) : "memory");
}

} // namespace zpp

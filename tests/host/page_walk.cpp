#include "page_walk.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

constexpr u64 present = 1, writable = 2, user = 4, large = 1 << 7, no_execute = u64{1} << 63;
constexpr u64 address_bits = 0x000ffffffffff000;

struct Rights {
    bool writable = true, executable = true, user = true;

    // The strictest entry on the way decides.
    Rights with(u64 entry) const
    {
        return {writable && (entry & test::writable) != 0, executable && (entry & no_execute) == 0,
                user && (entry & test::user) != 0};
    }
};

u64 sign_extended(u64 address, unsigned levels)
{
    const unsigned unused = 64 - (12 + 9 * levels);
    return static_cast<u64>(static_cast<std::int64_t>(address << unused) >> unused);
}

void visit(const TableAt& table_at, u64 table, unsigned level, u64 first, const Rights& rights,
           const std::function<void(u64, const Mapping&)>& on_page)
{
    const u64* entries = table_at(table);
    for (u64 i = 0; i < 512; ++i) {
        const u64 entry = entries[i], address = first | i << (12 + 9 * (level - 1));
        if ((entry & present) == 0)
            continue;
        const Rights here = rights.with(entry);
        if (level > 1) {
            if ((entry & large) != 0)
                FAIL_CHECK("a large page, or a reserved bit, at level ", level);
            else
                visit(table_at, entry & address_bits, level - 1, address, here, on_page);
            continue;
        }
        on_page(address, {entry & address_bits, here.writable, here.executable, here.user});
    }
}

} // namespace

std::map<u64, Mapping> all_mappings(const TableAt& table_at, u64 root, unsigned levels)
{
    std::map<u64, Mapping> all;
    visit(table_at, root, levels, 0, {}, [&](u64 address, const Mapping& mapping) {
        all[sign_extended(address, levels)] = mapping;
    });
    return all;
}

std::optional<Mapping> translate(const TableAt& table_at, u64 root, unsigned levels, u64 address)
{
    Rights rights;
    u64 table = root;
    for (unsigned level = levels; level > 0; --level) {
        const u64 entry = table_at(table)[address >> (12 + 9 * (level - 1)) & 511];
        if ((entry & present) == 0)
            return std::nullopt;
        rights = rights.with(entry);
        table = entry & address_bits;
    }
    return Mapping{table, rights.writable, rights.executable, rights.user};
}

} // namespace zpp::test

#include "ept_walk.hpp"

namespace zpp::test {
namespace {

constexpr u64 access = 7, large = 1 << 7, address = 0x000ffffffffff000;

u64 size_of(unsigned level) { return u64{4096} << (9 * (level - 1)); }

// No access but all or none; 2, 3 and 7 are no memory types; "ignore PAT" would take the guest's
// say; in an entry that leads to a table bits 7:3 are reserved.
bool is_well_formed(u64 entry, bool is_leaf, u64 size)
{
    if ((entry & access) != access)
        return false;
    if (!is_leaf)
        return (entry & 0xf8) == 0 && entry >> 52 == 0;
    const u64 type = (entry >> 3) & 7;
    return type != 2 && type != 3 && type != 7 && (entry & 1 << 6) == 0 &&
           (entry & address & (size - 1)) == 0 && entry >> 52 == 0;
}

void visit(EptWalk& walk, u64 table, unsigned level, u64 first)
{
    const u64 size = size_of(level);
    const u64* entries = walk.table_at(table);
    for (unsigned i = 0; i < 512; ++i) {
        const u64 entry = entries[i], base = first + i * size;
        if ((entry & access) == 0) {
            walk.unmapped += size;
            continue;
        }
        const bool is_leaf = level == 1 || (level <= 3 && (entry & large) != 0);
        if (!is_well_formed(entry, is_leaf, size)) {
            ++walk.misconfigured;
            continue;
        }
        if (is_leaf) {
            walk.on_leaf({base, size, entry & address, static_cast<u8>((entry >> 3) & 7)});
            continue;
        }
        if (walk.on_table)
            walk.on_table(level - 1, base, entry & address);
        visit(walk, entry & address, level - 1, base);
    }
}

} // namespace

void walk(EptWalk& w, u64 root) { visit(w, root, w.levels, 0); }

} // namespace zpp::test

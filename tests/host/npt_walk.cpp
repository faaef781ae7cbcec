#include "npt_walk.hpp"

namespace zpp::test {
namespace {

constexpr u64 present = 1, write = 2, user = 4, write_through = 8, cache_disable = 16, large = 128;
constexpr u64 address = 0x000ffffffffff000;

// The CPU walks for the guest as if for a user, and sets accessed and dirty in what it uses: they
// are set, so that it need not write. The host's PAT gives WB for its entry 0 only. Nothing beyond
// bit 51, no-execute among it.
bool is_well_formed(u64 entry, bool is_leaf, unsigned level, u64 size)
{
    if ((entry & user) == 0 || (entry & (write_through | cache_disable)) != 0 || entry >> 52 != 0)
        return false;
    if ((entry & 1 << 5) == 0 || (entry & 1 << 8) != 0)
        return false;
    if (!is_leaf)
        return (entry & large) == 0 && (entry & write) != 0;
    const bool pat_selects_another = level == 1 && (entry & large) != 0;
    const bool dirty_as_needed = (entry & write) == 0 || (entry & 1 << 6) != 0;
    return !pat_selects_another && dirty_as_needed && (entry & address & (size - 1)) == 0;
}

void visit(NptWalk& walk, u64 table, unsigned level, u64 first)
{
    const u64 size = u64{4096} << (9 * (level - 1));
    const u64* entries = walk.table_at(table);
    for (unsigned i = 0; i < 512; ++i) {
        const u64 entry = entries[i], base = first + i * size;
        if ((entry & present) == 0) {
            walk.unmapped += size;
            continue;
        }
        const bool is_leaf = level == 1 || (level <= 3 && (entry & large) != 0);
        if (!is_well_formed(entry, is_leaf, level, size)) {
            ++walk.malformed;
            continue;
        }
        if (is_leaf)
            walk.on_leaf({base, size, entry & address, (entry & write) != 0});
        else
            visit(walk, entry & address, level - 1, base);
    }
}

} // namespace

void walk(NptWalk& w, u64 root) { visit(w, root, w.levels, 0); }

} // namespace zpp::test

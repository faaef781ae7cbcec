#include "paging/nested_paging.hpp"

namespace zpp {

bool NestedPaging::hide(Hpa first, u64 pages)
{
    if (hidden_count_ == max_hidden)
        return false;
    hidden_[hidden_count_++] = {first, first + pages * page_size};
    return true;
}

bool NestedPaging::hides_some(Gpa guest, u64 size) const
{
    const Hpa base = identity(guest);
    for (unsigned i = 0; i < hidden_count_; ++i)
        if (base < hidden_[i].end && hidden_[i].first < base + size)
            return true;
    return false;
}

bool NestedPaging::build(const Mtrrs& mtrrs)
{
    mtrrs_ = &mtrrs;
    if (root_ == nullptr) {
        root_ = static_cast<u64*>(pages_.allocate());
        scratch_ = pages_.allocate();
        if (root_ == nullptr || scratch_ == nullptr || !build_aliases())
            return false;
    }
    complete_ = true;
    built_ = fill(root_, format_.levels, {0}, std::nullopt) || built_;
    return complete_;
}

u64 NestedPaging::leaf_to_scratch() const
{
    return format_.leaf(pages_.physical_of(scratch_), MemoryType::write_back, 1, true);
}

// One table for each level, whose entries are all the same.
bool NestedPaging::build_aliases()
{
    if (format_.guest_bits <= format_.address_bits)
        return true;
    for (unsigned level = 1; level < format_.levels; ++level) {
        auto* table = static_cast<u64*>(pages_.allocate());
        if (table == nullptr)
            return false;
        for (unsigned i = 0; i < 512; ++i)
            table[i] = level == 1 ? leaf_to_scratch()
                                  : format_.table(pages_.physical_of(aliases_[level - 1]));
        aliases_[level] = table;
    }
    return true;
}

// known: the memory type of the whole table, if the level above found it uniform.
bool NestedPaging::fill(u64* table, unsigned level, Gpa base, std::optional<MemoryType> known)
{
    const u64 size = size_of(level);
    const Gpa end{u64{1} << format_.address_bits};
    const Gpa formed{u64{1} << format_.guest_bits};
    unsigned i = 0;
    for (; i < 512 && base + i * size < end; ++i)
        if (!fill_entry(table[i], level, base + i * size, known))
            return false;
    for (; i < 512 && base + i * size < formed; ++i)
        table[i] = format_.table(pages_.physical_of(aliases_[level - 1]));
    return true;
}

void NestedPaging::fill_page(u64& entry, Gpa base, std::optional<MemoryType> known)
{
    if (hides_some(base, page_size)) {
        entry = leaf_to_scratch();
        return;
    }
    const auto type = known ? known : mtrrs_->type_of(identity(base), page_size);
    entry = format_.leaf(identity(base), type.value_or(MemoryType::uncacheable), 1,
                         writes_allowed_ || !is_protected(base, page_size));
}

bool NestedPaging::fill_entry(u64& entry, unsigned level, Gpa base, std::optional<MemoryType> known)
{
    if (level <= 1) {
        fill_page(entry, base, known);
        return true;
    }
    const u64 size = size_of(level);
    const auto type = known ? known : mtrrs_->type_of(identity(base), size);
    const bool uniform = type && !hides_some(base, size) && !is_protected(base, size);
    const bool has_table = entry != 0 && format_.is_table(entry, level);
    if (uniform && level <= format_.largest_leaf && !has_table) {
        entry = format_.leaf(identity(base), *type, level, true);
        return true;
    }
    u64* table = has_table ? static_cast<u64*>(pages_.virtual_of({entry & 0x000ffffffffff000}))
                           : static_cast<u64*>(pages_.allocate());
    if (table == nullptr) {
        entry = format_.leaf(identity(base), MemoryType::uncacheable, level, true);
        complete_ = false;
        return built_; // a later build continues: the rest must still follow the MTRRs
    }
    // Fill a new table before the guest's page walks can see it.
    const bool filled = fill(table, level - 1, base, type);
    if (!has_table)
        __atomic_store_n(&entry, format_.table(pages_.physical_of(table)), __ATOMIC_RELEASE);
    return filled;
}

// Copies the tables on the way to the page.
std::optional<Hpa> NestedPaging::build_open_root() const
{
    constexpr u64 address_mask = 0x000ffffffffff000;
    u64 root = format_.table(pages_.physical_of(root_));
    u64* entry = &root;
    for (unsigned level = format_.levels; level >= 1; --level) {
        auto* copy = static_cast<u64*>(pages_.allocate());
        if (copy == nullptr)
            return std::nullopt;
        __builtin_memcpy(copy, pages_.virtual_of({*entry & address_mask}), page_size);
        *entry = format_.table(pages_.physical_of(copy));
        entry = &copy[index_of(protected_, level)];
    }
    *entry = format_.leaf(identity(protected_), MemoryType::uncacheable, 1, true);
    return Hpa{root & address_mask};
}

void NestedPaging::allow_writes(bool allowed)
{
    writes_allowed_ = allowed;
    u64* table = root_;
    for (unsigned level = format_.levels; level > 1; --level)
        table = static_cast<u64*>(
            pages_.virtual_of({table[index_of(protected_, level)] & 0x000ffffffffff000}));
    u64 entry = 0;
    fill_page(entry, protected_, std::nullopt);
    __atomic_store_n(&table[index_of(protected_, 1)], entry, __ATOMIC_RELEASE);
}

} // namespace zpp

// Nested page tables for the whole physical address space: an identity mapping with the memory
// types of the MTRRs. Hidden ranges map to one scratch page, and so do aliases: addresses whose
// upper bits only select a key of memory encryption. EPT and NPT differ only in the format of an
// entry.
#pragma once
#include "lib/address.hpp"
#include "paging/mtrr.hpp"
#include <optional>

namespace zpp {

// The host-physical address of a guest-physical one that is not hidden.
constexpr Hpa identity(Gpa address) { return {address.value}; }

class NestedPaging {
public:
    // The vendor's format of an entry.
    struct Format {
        unsigned levels;       // 4 or 5
        unsigned largest_leaf; // 3: 1 GiB, 2: 2 MiB, 1: 4 KiB
        unsigned address_bits; // MAXPHYADDR without key bits, or less if `levels` do not reach it
        unsigned guest_bits; // of the addresses that the guest can form: more, if there are aliases
        u64 (*leaf)(Hpa page, MemoryType type, unsigned level, bool writable);
        u64 (*table)(Hpa table);
        bool (*is_table)(u64 entry, unsigned level); // of a present entry
    };

    // Where tables come from. allocate() returns a zeroed page, or nullptr.
    struct Pages {
        void* (*allocate)();
        Hpa (*physical_of)(const void* page);
        void* (*virtual_of)(Hpa physical);
    };

    static constexpr unsigned max_hidden = 64;

    void set_format(const Format& format) { format_ = format; }
    void set_pages(const Pages& pages) { pages_ = pages; }

    // Only before build(). Returns false after max_hidden ranges.
    [[nodiscard]] bool hide(Hpa first, u64 pages);

    // A page that the guest can read but not write; at most one. Only before build().
    void protect(Gpa page) { protected_ = page; }

    // After build(): lets the guest write that page, or protects it again.
    void allow_writes(bool allowed);

    // Builds the tables, or updates them after a change of the MTRRs; tables are never freed.
    // Returns false if memory ran out. The first build has failed then; a later one has mapped
    // large pages that it could not split as uncacheable, which is slow but correct.
    [[nodiscard]] bool build(const Mtrrs& mtrrs);

    Hpa root() const { return pages_.physical_of(root_); }

    // After build(), for tables that no later build() changes: a second top-level table, with which
    // the guest can write the protected page. Nothing if memory ran out.
    std::optional<Hpa> build_open_root() const;

private:
    struct Range {
        Hpa first, end;
    };

    bool fill(u64* table, unsigned level, Gpa base, std::optional<MemoryType> known);
    bool fill_entry(u64& entry, unsigned level, Gpa base, std::optional<MemoryType> known);
    void fill_page(u64& entry, Gpa base, std::optional<MemoryType> known);
    [[nodiscard]] bool build_aliases();
    u64 leaf_to_scratch() const;
    bool hides_some(Gpa base, u64 size) const;
    bool is_protected(Gpa base, u64 size) const { return protected_ - base < size; }
    static constexpr u64 index_of(Gpa page, unsigned level)
    {
        return (page.value / size_of(level)) & 511;
    }
    static constexpr u64 size_of(unsigned level) { return page_size << (9 * (level - 1)); }

    Format format_{};
    Pages pages_{};
    const Mtrrs* mtrrs_ = nullptr;
    Range hidden_[max_hidden] = {};
    unsigned hidden_count_ = 0;
    Gpa protected_{~u64{0}};
    bool writes_allowed_ = false;
    u64* root_ = nullptr;
    void* scratch_ = nullptr;
    u64* aliases_[5] = {};  // by level: tables that lead to the scratch page only
    bool built_ = false;    // the first build is complete
    bool complete_ = false; // this build had enough memory
};

} // namespace zpp

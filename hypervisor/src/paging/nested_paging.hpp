// Nested page tables over the whole physical address space: every guest-physical address is the
// same host-physical one, with the memory type of the MTRRs, but for the hidden ranges, which all
// lead to one scratch page. EPT and NPT differ in the format of an entry only.
#pragma once
#include "lib/address.hpp"
#include "paging/mtrr.hpp"

namespace zpp {

// Where a guest-physical address leads that is not hidden.
constexpr Hpa identity(Gpa address) { return {address.value}; }

class NestedPaging {
public:
    // How one vendor writes an entry.
    struct Format {
        unsigned levels;       // 4 or 5
        unsigned largest_leaf; // 3: 1 GiB, 2: 2 MiB, 1: 4 KiB
        unsigned address_bits; // MAXPHYADDR; what is beyond the reach of `levels` stays unmapped
        u64 (*leaf)(Hpa page, MemoryType type, unsigned level, bool writable);
        u64 (*table)(Hpa table);
        bool (*is_table)(u64 entry, unsigned level); // of a present entry
    };

    // Where tables come from. allocate() gives a zeroed page, or nullptr.
    struct Pages {
        void* (*allocate)();
        Hpa (*physical_of)(const void* page);
        void* (*virtual_of)(Hpa physical);
    };

    static constexpr unsigned max_hidden = 64;

    void set_format(const Format& format) { format_ = format; }
    void set_pages(const Pages& pages) { pages_ = pages; }

    // Only before build(). False if there is no room for one more range.
    [[nodiscard]] bool hide(Hpa first, u64 pages);

    // One page that the guest may read but not write. Only before build().
    void protect(Gpa page) { protected_ = page; }

    // Builds the tables, or brings them up to date after the MTRRs have changed: tables are only
    // ever added. False if there was not enough memory: after the first build the tables are of no
    // use then; a later one has mapped what it could not split as uncacheable, slow and right.
    [[nodiscard]] bool build(const Mtrrs& mtrrs);

    Hpa root() const { return pages_.physical_of(root_); }

private:
    struct Range {
        Hpa first, end;
    };

    bool fill(u64* table, unsigned level, Gpa base, std::optional<MemoryType> known);
    bool fill_entry(u64& entry, unsigned level, Gpa base, std::optional<MemoryType> known);
    void fill_page(u64& entry, Gpa base, std::optional<MemoryType> known);
    bool hides_some(Gpa base, u64 size) const;
    bool is_protected(Gpa base, u64 size) const { return protected_ - base < size; }
    static constexpr u64 size_of(unsigned level) { return page_size << (9 * (level - 1)); }

    Format format_{};
    Pages pages_{};
    const Mtrrs* mtrrs_ = nullptr;
    Range hidden_[max_hidden] = {};
    unsigned hidden_count_ = 0;
    Gpa protected_{~u64{0}};
    u64* root_ = nullptr;
    void* scratch_ = nullptr;
    bool built_ = false;    // the first build is done
    bool complete_ = false; // this build had the memory it needed
};

} // namespace zpp

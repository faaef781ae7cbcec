// Pages for tables, at physical addresses of their own, as many as a limit allows. One at a time.
#pragma once
#include "lib/address.hpp"
#include <map>
#include <memory>
#include <vector>

namespace zpp::test {

struct alignas(page_size) Page {
    u8 bytes[page_size];
};

class Arena {
public:
    static void reset(std::size_t limit)
    {
        pages.clear();
        indexes.clear();
        Arena::limit = limit;
    }
    static std::size_t used() { return pages.size(); }
    static void set_limit(std::size_t value) { limit = value; }

    static void* allocate()
    {
        if (pages.size() >= limit)
            return nullptr;
        pages.push_back(std::make_unique<Page>());
        indexes[pages.back().get()] = pages.size() - 1;
        return pages.back().get();
    }
    static Hpa physical_of(const void* page) { return {first + indexes.at(page) * page_size}; }
    static void* virtual_of(Hpa physical)
    {
        return pages.at((physical.value - first) / page_size).get();
    }

private:
    static constexpr u64 first = 0x7'0000'0000'0000; // no hidden range is there
    static inline std::vector<std::unique_ptr<Page>> pages;
    static inline std::map<const void*, u64> indexes;
    static inline std::size_t limit;
};

} // namespace zpp::test

// Guest memory in a file, and windows that really show its pages.
#pragma once
#include "core/vcpu.hpp"
#include <vector>

namespace zpp::test {

class FakeWindows {
public:
    static constexpr unsigned pages = 32; // of guest memory, from the address 0

    FakeWindows();
    ~FakeWindows();
    FakeWindows(const FakeWindows&) = delete;
    FakeWindows& operator=(const FakeWindows&) = delete;

    Vcpu& vcpu() { return *vcpu_; }

    // Guest memory, by its page.
    u8* page(unsigned number) { return memory_ + number * page_size; }
    u64& entry(unsigned page, unsigned index)
    {
        return reinterpret_cast<u64*>(this->page(page))[index];
    }

    static void hide(unsigned page);

    // The linear window, and how many of its pages are mapped.
    static constexpr unsigned linear_pages = 512;
    static unsigned linear_mapped();

    // The windows that were remapped since the last call, by their numbers.
    static std::vector<unsigned> take_remapped();

private:
    int file_;
    u8* memory_;
    void* reserved_;
    Vcpu* vcpu_;
    u64 entries_[ZPP_CPU_WINDOWS] = {};
    u8* linear_window_;
    u64 linear_entries_[linear_pages] = {};
};

} // namespace zpp::test

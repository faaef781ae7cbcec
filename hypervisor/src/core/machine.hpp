// What all CPUs share: the memory the loader gave, how many CPUs there are, whether the core may
// still leave.
#pragma once
#include "core/vcpu.hpp"
#include "lib/address.hpp"
#include "zpp/boot_info.h"

namespace zpp {

class Machine {
public:
    // Takes over boot_info, which lies in the core's own memory. False if it is not of this version.
    [[nodiscard]] bool adopt(const zpp_boot_info* info);

    u32 cpu_count() const { return info_->cpu_count; }
    u64 pages() const { return info_->total_pages; }
    const zpp_boot_info& info() const { return *info_; }
    Vcpu& vcpu(u32 index) const;

    // Only while preparing. nullptr when the heap is used up.
    void* allocate_page();

    // Addresses of the core's own memory.
    Hpa physical_of(const void* address) const;
    void* virtual_of(Hpa address) const; // nullptr if it is not the core's

    // The physical pages that the guest must not see: calls hide(context, first, pages).
    void for_each_hidden_range(void (*hide)(void* context, Hpa first, u64 pages),
                               void* context) const;

    bool committed() const { return __atomic_load_n(&committed_, __ATOMIC_ACQUIRE); }
    void commit() { __atomic_store_n(&committed_, true, __ATOMIC_RELEASE); }

private:
    const zpp_boot_info* info_ = nullptr;
    u64 heap_used_ = 0;
    bool committed_ = false;
};

extern Machine machine;

} // namespace zpp

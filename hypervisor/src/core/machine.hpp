// What all CPUs share: the core's memory, the number of CPUs, whether the launch is committed.
#pragma once
#include "core/vcpu.hpp"
#include "lib/address.hpp"
#include "zpp/boot_info.h"

namespace zpp {

class Machine {
public:
    // Keeps boot_info, which is in the core's memory. Returns false if its version is another one.
    [[nodiscard]] bool adopt(const zpp_boot_info* info);

    u32 cpu_count() const { return info_->cpu_count; }
    u64 pages() const { return info_->total_pages; }
    const zpp_boot_info& info() const { return *info_; }
    Vcpu& vcpu(u32 index) const;

    // At PREPARE only. Returns nullptr if the heap is exhausted.
    void* allocate_page();

    // Translate between host-virtual and host-physical addresses of the core.
    Hpa physical_of(const void* address) const;
    void* virtual_of(Hpa address) const; // nullptr outside the core's memory

    // Whether all of it is above 1 MiB. Below, fixed-range MTRRs can route it elsewhere (AMD APM Vol.
    // 2, 7.9.1), and real mode is there.
    bool is_above_1_mib() const;

    // Calls hide(context, first, pages) for each range that the guest must not see.
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

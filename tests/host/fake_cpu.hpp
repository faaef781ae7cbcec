// The CPU as the loader sees it through loader/cpu.h, and a block of memory as one CPU has it in
// the core.
#pragma once
#include "core/vcpu.hpp"
#include "zpp/boot_info.h"
#include "zpp/hypercall.h"
#include <functional>
#include <vector>

namespace zpp::test {

// What loader/cpu.h asks of a CPU; fake_cpu.cpp answers from here, and notes what was done.
struct FakeCpu {
    unsigned physical_address_bits = 39;
    bool large_nested_pages = true;
    unsigned paging_levels = 4;
    bool no_execute = true;
    bool held = false;
    bool amd = false;
    u64 cr3 = 0x1000; // tells one captured state from another

    u64 rflags = interrupts_on;
    std::vector<zpp_cpu_state> restored;
    std::vector<u32> hypercalls;
    u64 hypercall_status = ZPP_HYPERCALL_OK;

    static constexpr u64 interrupts_on = 0x202, interrupts_off = 0x2;
};

extern FakeCpu fake_cpu;

// The 64 KiB block of one CPU (boot_info.h). run() calls `work` on the block's own stack, so that
// current_vcpu() finds the block's vCPU, as in all host code.
class CpuBlock {
public:
    CpuBlock();
    ~CpuBlock();
    CpuBlock(const CpuBlock&) = delete;
    CpuBlock& operator=(const CpuBlock&) = delete;

    Vcpu& vcpu() { return *static_cast<Vcpu*>(memory_); }
    void run(const std::function<void()>& work);

private:
    void* memory_;
};

} // namespace zpp::test

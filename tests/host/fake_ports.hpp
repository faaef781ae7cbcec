// A machine's I/O ports, its TSC and CPUID, for code that gets x86::Ports. One at a time.
#pragma once
#include "x86/ports.hpp"
#include <map>
#include <utility>
#include <vector>

namespace zpp::test {

struct FakePorts {
    FakePorts();
    ~FakePorts();
    FakePorts(const FakePorts&) = delete;
    FakePorts& operator=(const FakePorts&) = delete;

    x86::Ports ports() const;

    // Channel 2 of the timer counts as time passes: each access of a port takes `access_ns`.
    bool timer_works = true;
    u64 access_ns = 1000;
    u64 hz = 0; // of the TSC
    std::map<u32, x86::CpuidResult> leaves{};
    u8 keyboard_status = 0;

    u64 now_ns = 0;
    u64 post_code_reads = 0;
    std::vector<std::pair<u16, u8>> written{}; // but to the timer

private:
    static u8 in8(u16 port);
    static void out8(u16 port, u8 value);
    static u64 rdtsc();
    static x86::CpuidResult cpuid(u32 leaf, u32 subleaf);

    u8 port_b_ = 0xff;
    u32 count_ = 0;
    unsigned bytes_ = 0;
    u64 ends_ns_ = ~u64{0};
};

} // namespace zpp::test

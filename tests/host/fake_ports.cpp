#include "fake_ports.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

FakePorts* current = nullptr;

} // namespace

FakePorts::FakePorts() { current = this; }
FakePorts::~FakePorts() { current = nullptr; }

x86::Ports FakePorts::ports() const { return {in8, out8, rdtsc, cpuid}; }

u8 FakePorts::in8(u16 port)
{
    FakePorts& p = *current;
    p.now_ns += p.access_ns;
    switch (port) {
    case 0x61: {
        const bool output = p.timer_works && p.now_ns >= p.ends_ns_;
        return static_cast<u8>((p.port_b_ & 0x0f) | (output ? 0x20 : 0));
    }
    case 0x64:
        return p.keyboard_status;
    case 0x80:
        ++p.post_code_reads;
        return 0xff;
    default:
        FAIL_CHECK("IN of port ", port);
        return 0xff;
    }
}

// Mode 0: the output goes low with the mode, and high when the count, low byte first, has ended.
void FakePorts::out8(u16 port, u8 value)
{
    FakePorts& p = *current;
    p.now_ns += p.access_ns;
    switch (port) {
    case 0x61:
        p.port_b_ = value;
        break;
    case 0x43:
        CHECK(value == 0xb0);
        p.bytes_ = 0;
        p.ends_ns_ = ~u64{0};
        break;
    case 0x42:
        p.count_ = p.bytes_ == 0 ? value : p.count_ | u32{value} << 8;
        if (++p.bytes_ == 2) {
            CHECK((p.port_b_ & 3) == 1); // the gate is open, the speaker off
            p.ends_ns_ = p.now_ns + u64{p.count_} * 1'000'000'000 / 1'193'182;
        }
        break;
    default:
        p.written.emplace_back(port, value);
        break;
    }
}

u64 FakePorts::rdtsc()
{
    current->now_ns += 20;
    return current->now_ns * (current->hz / 1'000'000) / 1000;
}

x86::CpuidResult FakePorts::cpuid(u32 leaf, u32)
{
    const auto found = current->leaves.find(leaf);
    return found != current->leaves.end() ? found->second : x86::CpuidResult{};
}

} // namespace zpp::test

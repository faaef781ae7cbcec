// The local APIC of the CPU that a thread stands for: IA32_APIC_BASE, whose RDMSR faults on the
// build machine and is served here, and the interrupt commands that the host sends.
#pragma once
#include "lib/types.hpp"
#include <csignal>
#include <vector>

namespace zpp::test {

struct Command {
    u32 apic_id, low;
    bool operator==(const Command&) const = default;
};

class FakeApic {
public:
    FakeApic();
    ~FakeApic();
    FakeApic(const FakeApic&) = delete;
    FakeApic& operator=(const FakeApic&) = delete;

    // Of the CPU that this thread stands for; at first it is none.
    static void set_bsp(bool bsp);

    // What was sent since the last call, in order.
    static std::vector<Command> take_sent();

private:
    struct sigaction previous_;
};

} // namespace zpp::test

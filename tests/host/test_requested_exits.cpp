// vmx/requested_exits: the controls follow what the host asks for, also if an NMI or a machine check
// in the host asks while they are written (SDM Vol. 3C, 25.6.1 and 25.6.2).
#include "core/machine_check.hpp"
#include "emulate/handle.hpp"
#include "fake_core.hpp"
#include "fake_vmcs.hpp"
#include "vmx/cr_retry.hpp"
#include "vmx/requested_exits.hpp"
#include "vmx/shared.hpp"
#include "vmx/vcpu_state.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

using namespace vmx;

constexpr u64 timer = bit(6), window = bit(22), mtf = bit(27);

struct Machine {
    FakeVmcs vmcs;
    GuestRegisters registers{};
    Vcpu& vcpu = vmcs.block.vcpu();
    Guest guest{vcpu, registers};

    Machine() { vmcs.launch(FakeVmcs::uefi()); }

    // The exits that the controls ask for.
    u64 requested()
    {
        return (vmcs[Field32::pin_based_controls] & timer) |
               (vmcs[Field32::primary_controls] & (window | mtf));
    }
};

TEST_CASE("requested exits: the controls follow the state")
{
    struct {
        bool nmi, kick, machine_check, retry, has_timer;
        u64 expected;
    } const cases[] = {
        {false, false, false, false, true, 0},
        {true, false, false, false, true, window},
        {false, true, false, false, true, timer},
        {false, false, true, false, true, timer},
        {false, false, false, true, true, mtf},
        {true, true, true, true, true, window | timer | mtf},
        {false, true, false, false, false, window},
        {false, false, true, false, false, window},
        {false, false, false, false, false, 0},
    };
    for (const auto& c : cases) {
        Machine machine;
        shared.capabilities.preemption_timer = c.has_timer;
        machine.vcpu.nmi_pending = c.nmi;
        machine.vcpu.machine_check_pending = c.machine_check;
        state_of(machine.vcpu).kicked = c.kick;
        state_of(machine.vcpu).cr_retry.pending = c.retry;
        request_exits(machine.vcpu);
        CHECK(machine.requested() == c.expected);
        CHECK(machine.vmcs.broken_rule() == "");
        machine.vcpu.nmi_pending = false;
        machine.vcpu.machine_check_pending = false;
        state_of(machine.vcpu).kicked = false;
        state_of(machine.vcpu).cr_retry.pending = false;
        request_exits(machine.vcpu);
        CHECK(machine.requested() == 0);
    }
}

TEST_CASE("requested exits: an NMI, a kick or a machine check comes before a write")
{
    struct Event {
        void (*arrive)(Vcpu&);
        u64 expected;
    };
    const Event events[] = {
        {take_nmi, window},
        {[](Vcpu& vcpu) {
             vcpu.startup.kicked = true;
             take_nmi(vcpu);
         },
         timer},
        {[](Vcpu& vcpu) {
             CHECK(machine_check::note(vcpu));
             request_exits(vcpu); // of the vendor
         },
         timer},
    };
    using Step = void (*)(Machine&);
    const Step steps[] = {
        [](Machine& m) { request_exits(m.vcpu); },
        [](Machine& m) { m.guest.inject_nmi(); },
        [](Machine& m) { settle_cr_retry(m.guest); },
        [](Machine& m) {
            state_of(m.vcpu).kicked = false; // as the exit of the kick
            request_exits(m.vcpu);
        },
    };
    for (const Event& event : events)
        for (const Step step : steps)
            for (unsigned writes = 0; writes < 4; ++writes) { // before that VMWRITE
                CAPTURE(writes);
                Machine machine;
                machine.vmcs.cpu.msrs[0x17a] = 5;
                state_of(machine.vcpu).cr_retry.pending = true;
                unsigned left = writes;
                const std::function<void()> interrupt = [&] {
                    if (left-- != 0) {
                        machine.vmcs.before_write = interrupt;
                        return;
                    }
                    event.arrive(machine.vcpu);
                };
                machine.vmcs.before_write = interrupt;
                step(machine);
                machine.vmcs.before_write = nullptr;
                if (left == ~0u) // it came
                    CHECK((machine.requested() & event.expected) == event.expected);
            }
}

TEST_CASE("machine check: injected, and its exit is not asked for again")
{
    Machine machine;
    machine.vmcs.cpu.msrs.insert({{0x179, 0}, {0x17a, 5}});
    machine.vcpu.machine_check_pending = true;
    machine.guest.inject(x86::Event::nmi());
    deliver_machine_check(machine.guest);
    CHECK(machine.requested() == timer);
    CHECK(machine.vmcs[Field32::entry_interruption_information] == 0x80000202);
    machine.vmcs[Field32::entry_interruption_information] = 0; // an exit clears the valid bit
    deliver_machine_check(machine.guest);
    CHECK(machine.requested() == 0);
    CHECK(machine.vmcs[Field32::entry_interruption_information] == 0x80000312);
    CHECK(machine.vmcs.broken_rule() == "");
    // An NMI that is pending comes at its window, after it.
    machine.vcpu.nmi_pending = true;
    deliver_nmi(machine.guest);
    CHECK(machine.requested() == window);
    CHECK(machine.vmcs[Field32::entry_interruption_information] == 0x80000312);
}

} // namespace
} // namespace zpp::test

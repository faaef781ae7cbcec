// Every state that the core writes to a VMCS passes the checks of VM entry.
#include "emulate/handle.hpp"
#include "fake_vmcs.hpp"
#include "vmx/guest.hpp"
#include "vmx/guest_state.hpp"
#include <doctest/doctest.h>
#include <functional>

namespace zpp::test {
namespace {

using namespace vmx;
using Vmcs = FakeVmcs&;

// Each state that the core writes.
const std::function<void(Vmcs, GuestRegisters&)> states[] = {
    [](Vmcs, GuestRegisters&) {},
    [](Vmcs, GuestRegisters& registers) { write_init_state(registers); },
    [](Vmcs, GuestRegisters& registers) {
        write_init_state(registers);
        write_sipi_state(0x9f);
    },
    [](Vmcs v, GuestRegisters&) { v.protected_mode(); },
    [](Vmcs v, GuestRegisters&) { v.virtual_8086(); },
    [](Vmcs v, GuestRegisters&) { v[FieldNatural::guest_rflags] = 2; },
    [](Vmcs v, GuestRegisters&) { v[Field32::guest_interruptibility] = 1; },
};

TEST_CASE("VM entry: the launch, INIT, SIPI, and what the core injects into each")
{
    using Inject = std::function<void(Guest&)>;
    const Inject injections[] = {
        [](Guest&) {},
        [](Guest& guest) { inject_fault(guest, x86::vector_general_protection); },
        [](Guest& guest) { inject_fault(guest, x86::vector_undefined_opcode); },
        [](Guest& guest) { guest.inject_nmi(); },
        [](Guest& guest) { guest.inject_machine_check(); },
        [](Guest& guest) { advance(guest, 2); },
    };
    unsigned number = 0;
    for (const auto& state : states) {
        CAPTURE(number++);
        for (const Inject& injection : injections) {
            FakeVmcs vmcs;
            vmcs.launch(FakeVmcs::uefi());
            GuestRegisters registers{};
            state(vmcs, registers);
            Guest guest{vmcs.block.vcpu(), registers};
            injection(guest);
            CHECK(vmcs.broken_rule() == "");
        }
    }
}

TEST_CASE("VM entry: the NMI window opens and closes")
{
    FakeVmcs vmcs;
    vmcs.launch(FakeVmcs::uefi());
    GuestRegisters registers{};
    Guest guest{vmcs.block.vcpu(), registers};
    guest.vcpu.nmi_pending = true;
    guest.open_nmi_window();
    CHECK((vmcs[Field32::primary_controls] & bit(22)) != 0);
    CHECK(vmcs.broken_rule() == "");
    deliver_nmi(guest);
    CHECK(vmcs[Field32::entry_interruption_information] == 0x80000202);
    CHECK((vmcs[Field32::primary_controls] & bit(22)) == 0);
}

} // namespace
} // namespace zpp::test

// The system's write that puts the machine to sleep: bit SLP_EN of ACPI's register PM1a_CNT.
#pragma once
#include "core/vcpu.hpp"
#include "emulate/vm_exit.hpp"

namespace zpp {

// The port whose accesses must exit: the byte of PM1a_CNT that contains SLP_EN. 0 for none.
u16 sleep_port();

struct PortInstructions {
    u32 (*in)(u16 port, unsigned size);
    void (*out)(u16 port, unsigned size, u32 value);
};
extern const PortInstructions real_port_instructions;

// Does the access for the guest. The log says before it if the machine suspends to RAM.
Outcome emulate_sleep_port(Vcpu& vcpu, const PortAccess& access, GuestRegisters& registers,
                           const PortInstructions& ports = real_port_instructions);

} // namespace zpp

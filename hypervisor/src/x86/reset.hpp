// Resets the machine, as its own reset button does.
#pragma once
#include "x86/ports.hpp"

namespace zpp::x86 {

// Tries the keyboard controller and the chipset's reset control register. Returns if the machine has
// neither. The CPU must accept an INIT: on many chipsets the keyboard controller's reset is one.
void try_reset(const Ports& ports = real_ports);

} // namespace zpp::x86

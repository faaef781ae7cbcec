// MSRs that a guest under VT-x does not access itself.
#pragma once
#include "emulate/msr.hpp"

namespace zpp::vmx {

extern const MsrHandlers msr_handlers;

} // namespace zpp::vmx

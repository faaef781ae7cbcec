// MSRs whose accesses exit under VT-x, besides the MTRRs.
#pragma once
#include "emulate/msr.hpp"

namespace zpp::vmx {

extern const MsrHandlers msr_handlers;

} // namespace zpp::vmx

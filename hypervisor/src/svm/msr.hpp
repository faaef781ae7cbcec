// MSRs that a guest under AMD-V does not access itself.
#pragma once
#include "emulate/msr.hpp"

namespace zpp::svm {

extern const MsrHandlers msr_handlers;

} // namespace zpp::svm

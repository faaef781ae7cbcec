// MSRs whose accesses exit under AMD-V.
#pragma once
#include "emulate/msr.hpp"

namespace zpp::svm {

extern const MsrHandlers msr_handlers;

} // namespace zpp::svm

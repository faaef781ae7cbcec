// Writes the VMCB's control area, once for each CPU.
#pragma once
#include "svm/vmcb.hpp"

namespace zpp::svm {

void write_controls(Vmcb& vmcb);

} // namespace zpp::svm

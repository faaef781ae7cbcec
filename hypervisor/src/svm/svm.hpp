// AMD-V; implements core/virt.hpp.
#pragma once
#include "core/virt.hpp"

namespace zpp::svm {

extern const Vendor vendor;

} // namespace zpp::svm

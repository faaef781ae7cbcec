// AMD-V behind the interface of virt.hpp.
#pragma once
#include "virt.hpp"

namespace zpp::svm {

extern const Vendor vendor;

} // namespace zpp::svm

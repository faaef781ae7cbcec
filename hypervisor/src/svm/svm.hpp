// AMD-V behind the interface of virt.hpp.
#pragma once
#include "core/virt.hpp"

namespace zpp::svm {

extern const Vendor vendor;

} // namespace zpp::svm

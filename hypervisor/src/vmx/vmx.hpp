// Intel VT-x; implements core/virt.hpp.
#pragma once
#include "core/virt.hpp"

namespace zpp::vmx {

extern const Vendor vendor;

} // namespace zpp::vmx

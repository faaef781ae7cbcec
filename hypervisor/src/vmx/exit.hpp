// VM exits of VT-x: decodes them and dispatches them to their handlers.
#pragma once
#include "core/vcpu.hpp"

namespace zpp::vmx {

// Text of a VM-instruction error number (SDM Vol. 3C, 32.4).
const char* entry_error_text(u32 error);

} // namespace zpp::vmx

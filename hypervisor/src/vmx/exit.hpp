// VM exits under VT-x: from the exit reason to the handler, and the outcome back to the guest.
#pragma once
#include "core/vcpu.hpp"

namespace zpp::vmx {

// Text for a VM-instruction error number (SDM Vol. 3C, 32.4).
const char* entry_error_text(u32 error);

} // namespace zpp::vmx

// Hides vmx/instructions.hpp, by this folder's place among the include paths: the instructions that
// use a current VMCS are replaced (fake_vmcs.cpp).
#pragma once

#define vmread cpu_vmread
#define vmwrite cpu_vmwrite
#define invept cpu_invept
#define invvpid cpu_invvpid
#include "../../../../hypervisor/src/vmx/instructions.hpp"
#undef vmread
#undef vmwrite
#undef invept
#undef invvpid

namespace zpp::vmx {

[[nodiscard]] bool vmread(u64 field, u64& value);
[[nodiscard]] bool vmwrite(u64 field, u64 value);
[[nodiscard]] bool invept(Invalidation type, u64 eptp);
[[nodiscard]] bool invvpid(Invalidation type, u16 tag);

} // namespace zpp::vmx

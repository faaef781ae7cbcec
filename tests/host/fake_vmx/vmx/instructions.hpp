// In place of vmx/instructions.hpp, which this folder's place among the include paths hides: the VMX
// instructions on a VMCS in a table (fake_vmcs.hpp).
#pragma once
#include "lib/address.hpp"

namespace zpp::vmx {

[[nodiscard]] inline bool vmxon(Hpa) { return true; }
inline void vmxoff() {}
[[nodiscard]] inline bool vmclear(Hpa) { return true; }
[[nodiscard]] inline bool vmptrld(Hpa) { return true; }

[[nodiscard]] bool vmread(u64 field, u64& value);
[[nodiscard]] bool vmwrite(u64 field, u64 value);

enum class Invalidation : u64 { single_context = 1, all_contexts = 2 };

[[nodiscard]] bool invept(Invalidation type, u64 eptp);
[[nodiscard]] bool invvpid(Invalidation type, u16 tag);

} // namespace zpp::vmx

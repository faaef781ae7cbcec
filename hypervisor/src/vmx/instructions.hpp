// VMX instructions (SDM Vol. 3C, ch. 32). They return whether they succeeded (CF = ZF = 0).
#pragma once
#include "lib/address.hpp"

namespace zpp::vmx {

[[nodiscard]] inline bool vmxon(Hpa region)
{
    bool failed;
    asm volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region.value) : "memory");
    return !failed;
}

inline void vmxoff() { asm volatile("vmxoff" : : : "cc", "memory"); }

[[nodiscard]] inline bool vmclear(Hpa vmcs)
{
    bool failed;
    asm volatile("vmclear %1" : "=@ccbe"(failed) : "m"(vmcs.value) : "memory");
    return !failed;
}

[[nodiscard]] inline bool vmptrld(Hpa vmcs)
{
    bool failed;
    asm volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(vmcs.value) : "memory");
    return !failed;
}

// VMREAD and VMWRITE jump on failure, so testing the result costs no instruction.
[[nodiscard, gnu::always_inline]] inline bool vmread(u64 field, u64& value)
{
    asm goto("vmread %1, %0\n jbe %l2" : "=r"(value) : "r"(field) : "cc" : failed);
    return true;
failed:
    return false;
}

[[nodiscard, gnu::always_inline]] inline bool vmwrite(u64 field, u64 value)
{
    asm goto("vmwrite %1, %0\n jbe %l2" : : "r"(field), "r"(value) : "cc", "memory" : failed);
    return true;
failed:
    return false;
}

enum class Invalidation : u64 { single_context = 1, all_contexts = 2 };

struct InvalidationDescriptor {
    u64 tag; // EPTP, or VPID
    u64 address;
};

[[nodiscard]] inline bool invept(Invalidation type, u64 eptp)
{
    const InvalidationDescriptor descriptor{eptp, 0};
    bool failed;
    asm volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(descriptor), "r"(type) : "memory");
    return !failed;
}

[[nodiscard]] inline bool invvpid(Invalidation type, u16 tag)
{
    const InvalidationDescriptor descriptor{tag, 0};
    bool failed;
    asm volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(descriptor), "r"(type) : "memory");
    return !failed;
}

} // namespace zpp::vmx

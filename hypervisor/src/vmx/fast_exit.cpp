// The fast path, for most exits of a running OS: CPUID of leaf 1 or an unchanged leaf. It leaves
// every other case and every failed VMREAD to the general handler, which starts from the beginning.
// It calls no function, so the stub saves only half of the registers.
#include "core/vcpu.hpp"
#include "emulate/handle.hpp"
#include "vmx/exit_reason.hpp"
#include "vmx/vmcs.hpp"

namespace zpp::vmx {
namespace {

template <class Field> [[nodiscard]] bool read(Field field, u64& value)
{
    return vmread(static_cast<u32>(field), value);
}

} // namespace

extern "C" bool zpp_vmx_on_fast_exit(ScratchRegisters& registers);

bool zpp_vmx_on_fast_exit(ScratchRegisters& registers)
{
    constexpr auto reason_cpuid = static_cast<u64>(ExitReason::cpuid);
    const auto leaf = static_cast<u32>(registers.rax);
    u64 reason, rip, length, rflags, interruptibility, cr4 = 0;
    if (!read(Field32::exit_reason, reason) || reason != reason_cpuid || !is_fast_leaf(leaf))
        return false;
    if (!read(FieldNatural::guest_rflags, rflags) ||
        has(x86::Rflags{rflags}, acts_after_instruction))
        return false;
    if (!read(Field32::guest_interruptibility, interruptibility) || interruptibility != 0)
        return false;
    if (!read(FieldNatural::guest_rip, rip) || !read(Field32::exit_instruction_length, length))
        return false;
    if (leaf == 1 && !read(FieldNatural::guest_cr4, cr4))
        return false;
    const u64 next = rip + length;
    if (may_wrap(rip, next))
        return false;
    if (!vmwrite(static_cast<u32>(FieldNatural::guest_rip), next))
        return false;
    ++current_vcpu().exits[reason_cpuid];
    const auto result = fast_cpuid(leaf, static_cast<u32>(registers.rcx), x86::Cr4{cr4});
    registers.rax = result.eax;
    registers.rbx = result.ebx;
    registers.rcx = result.ecx;
    registers.rdx = result.edx;
    return true;
}

} // namespace zpp::vmx

#include "vmx/shared.hpp"
#include "core/crash.hpp"
#include "guest/memory.hpp"
#include "vmx/instructions.hpp"
#include "vmx/vcpu_state.hpp"

namespace zpp::vmx {

constinit Shared shared = {};

x86::Cr0 cr0_mask()
{
    // An unrestricted guest controls PE and PG (SDM Vol. 3C, 24.8); CD and NW follow the guest.
    return (shared.capabilities.cr0_fixed0 & ~(x86::Cr0::pe | x86::Cr0::pg)) |
           ~shared.capabilities.cr0_fixed1;
}

x86::Cr4 cr4_mask()
{
    return shared.capabilities.cr4_fixed0 | ~shared.capabilities.cr4_fixed1 | x86::Cr4::smxe;
}

x86::Cr0 real_cr0(x86::Cr0 value)
{
    return (value | (shared.capabilities.cr0_fixed0 & ~(x86::Cr0::pe | x86::Cr0::pg))) &
           shared.capabilities.cr0_fixed1;
}

x86::Cr4 real_cr4(x86::Cr4 value)
{
    return (value | shared.capabilities.cr4_fixed0) & shared.capabilities.cr4_fixed1;
}

void flush_guest_tlb()
{
    if (shared.capabilities.vpid && !invvpid(Invalidation::single_context, vpid))
        crash("INVVPID failed", vpid);
}

void flush_nested_tlb()
{
    if (!invept(Invalidation::single_context, shared.eptp))
        crash("INVEPT failed", shared.eptp);
}

void flush_old_translations()
{
    u64& generation = state_of(current_vcpu()).nested_paging_generation;
    if (generation == guest_memory::generation())
        return;
    generation = guest_memory::generation();
    flush_nested_tlb();
}

} // namespace zpp::vmx

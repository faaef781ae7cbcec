// VMCALL and VMMCALL (zpp/hypercall.h).
#pragma once
#include "core/vcpu.hpp"
#include "emulate/vm_exit.hpp"
#include "zpp/hypercall.h"

namespace zpp {

// Whether RAX has the magic. Without it the instruction raises #UD, as on the bare CPU.
inline bool is_hypercall(const GuestRegisters& registers)
{
    return registers.rax >> 32 == ZPP_HYPERCALL_MAGIC >> 32;
}

// Precondition: is_hypercall(), at CPL 0.
[[nodiscard]] Outcome emulate_hypercall(GuestRegisters& registers);

// Whether this is ZPP_HYPERCALL_DEVIRTUALIZE, from the loader's trampoline and before the commit.
[[nodiscard]] bool is_devirtualize_call(const Vcpu& vcpu, const GuestRegisters& registers, u64 rip);

} // namespace zpp

// The last step of devirtualizing a CPU: the jump to the loader, with NMIs blocked. Until the
// loader has restored the OS's IDT and TSS, an NMI would find no handler.
#pragma once
#include "core/vcpu.hpp"

namespace zpp {

// NMIs stay blocked until the loader's IRET. One that is pending for the guest arrives then, as
// does one that comes meanwhile.
[[noreturn]] void leave(Vcpu& vcpu, zpp_cpu_call& call);

} // namespace zpp

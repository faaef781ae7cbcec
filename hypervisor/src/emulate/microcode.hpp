// Microcode updates by the guest. They must not be loaded in VMX non-root operation (SDM Vol. 3C,
// "Microcode Update Facility" of the chapter on virtualizing system resources), so the host does
// it, through a window with the guest's memory, after the checks that the manual asks of a loader.
// Whether the update is authentic is for the CPU to check.
#pragma once
#include "emulate/vm_exit.hpp"
#include "guest/page_walk.hpp"
#include "x86/msr.hpp"

namespace zpp {

struct Vcpu;

// A vendor's form of an update.
struct MicrocodeFormat {
    x86::Msr trigger;
    u64 before;     // bytes of the update before the address that the guest writes
    u64 size_limit; // bytes
    // What is wrong with the update, of which `bytes` can be read; nullptr if it is for this CPU.
    const char* (*fault)(const u8* update, u64 bytes);
};

using WriteMsr = bool (*)(x86::Msr msr, u64 value); // false: #GP

// The guest writes `address` to the trigger. An update that is not correct is ignored.
[[nodiscard]] Outcome load_microcode(const MicrocodeFormat& format, Vcpu& vcpu,
                                     const GuestPaging& paging, Gva address, WriteMsr write);

} // namespace zpp

// MOV to CR0 and CR4, and XSETBV.
#pragma once
#include "emulate/vm_exit.hpp"
#include "x86/control_registers.hpp"
#include <concepts>

namespace zpp {

// Whether a CPU accepts the value; does not check for bits that this CPU does not have.
[[nodiscard]] bool cr0_is_valid(x86::Cr0 value);

// hidden: bits that the guest must not set because zpp hides their features.
[[nodiscard]] bool cr4_is_valid(x86::Cr4 value, x86::Cr4 hidden);

// XSETBV with `value` for the extended control register `index`.
[[nodiscard]] Outcome emulate_xsetbv(u32 index, u64 value, unsigned cpl);

// A guest with host-owned bits in CR0 and CR4, and read shadows.
template <class G>
concept ShadowedGuest = requires(G& guest, x86::Cr0 cr0, x86::Cr4 cr4) {
    { guest.allowed_cr0() } -> std::same_as<x86::Cr0>;
    { guest.hidden_cr4() } -> std::same_as<x86::Cr4>;
    guest.set_cr0_shadow(cr0);
    guest.set_cr4_shadow(cr4);
};

// MOV to CR0 or CR4 that changes a host-owned bit. With the guest's value in the read shadow the
// instruction no longer exits, so the CPU runs it with all its checks and effects on paging.
template <class G> [[nodiscard]] Outcome on_mov_to_cr(G& guest, const VmExit& exit)
{
    const x86::Cr0 cr0{exit.value};
    const x86::Cr4 cr4{exit.value};
    if (exit.index == 0 && cr0_is_valid(cr0) && !has(cr0, ~guest.allowed_cr0())) {
        guest.set_cr0_shadow(cr0);
        return Outcome::retry;
    }
    // The guest can clear a hidden bit that the OS set before the launch (SMXE), but not set one.
    if (exit.index == 4 && cr4_is_valid(cr4, guest.hidden_cr4())) {
        guest.set_cr4_shadow(cr4);
        return Outcome::retry;
    }
    return Outcome::general_protection;
}

} // namespace zpp

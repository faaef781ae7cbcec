// MOV to CR0 and CR4, and XSETBV.
#pragma once
#include "emulate/vm_exit.hpp"
#include <concepts>

namespace zpp {

// Whether a 64-bit CPU accepts the value, but for bits that it does not have.
[[nodiscard]] bool cr0_is_valid(u64 value);

// `hidden`: bits that the guest must not set since zpp hides their feature.
[[nodiscard]] bool cr4_is_valid(u64 value, u64 hidden);

// XSETBV with `value` for the extended control register `index`.
[[nodiscard]] Outcome emulate_xsetbv(u32 index, u64 value, unsigned cpl);

// A guest whose CR0 and CR4 have bits that the host owns, and read shadows of them.
template <class G>
concept ShadowedGuest = requires(G& guest, u64 value) {
    { guest.allowed_cr0() } -> std::same_as<u64>;
    { guest.hidden_cr4() } -> std::same_as<u64>;
    guest.set_cr0_shadow(value);
    guest.set_cr4_shadow(value);
};

// MOV to CR0 or CR4 with a host-owned bit that differs from the read shadow. Once the shadow has the
// guest's value nothing differs any more, so the CPU can run the instruction itself, with all its
// checks and effects on paging.
template <ShadowedGuest G> [[nodiscard]] Outcome on_mov_to_cr(G& guest, const VmExit& exit)
{
    if (exit.index == 0 && cr0_is_valid(exit.value) && (exit.value & ~guest.allowed_cr0()) == 0) {
        guest.set_cr0_shadow(exit.value);
        return Outcome::retry;
    }
    // The guest may clear what the OS had set before the launch (SMXE), but set none of them.
    if (exit.index == 4 && cr4_is_valid(exit.value, guest.hidden_cr4())) {
        guest.set_cr4_shadow(exit.value);
        return Outcome::retry;
    }
    return Outcome::general_protection;
}

} // namespace zpp

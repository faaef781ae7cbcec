// Watches a MOV to CR0 or CR4 that the guest runs again with its value in the read shadow (ADR 2).
// The CPU may refuse the value, for a reserved bit of a PDPTE for example; the shadow must then be
// as before. So #GP exits for this one instruction, and the monitor trap flag causes an exit after
// it, or after the delivery of an interrupt in its place.
#pragma once
#include "vmx/guest.hpp"

namespace zpp::vmx {

// The access of a control-register exit, from its qualification (SDM Vol. 3C, table 28-3).
void decode_cr_access(const Guest& guest, VmExit& exit);

// on_mov_to_cr(), watched.
[[nodiscard]] Outcome retry_mov_to_cr(Guest& guest, const VmExit& exit);

// At the next exit.
void settle_cr_retry(Guest& guest);

// The exception that has exited goes to the guest.
void reflect_exception(Guest& guest);

} // namespace zpp::vmx

// The guest's writes to its local APIC that exit: stores to the xAPIC page, the x2APIC's ICR, and
// IA32_APIC_BASE.
#pragma once
#include "apic/access.hpp"
#include "emulate/guest_state.hpp"
#include "emulate/vm_exit.hpp"
#include "guest/code.hpp"
#include "guest/store.hpp"
#include <optional>

namespace zpp {

// Writes an xAPIC register for the guest.
void write_xapic(Vcpu& vcpu, u32 offset, u32 value);

// For the vendors' tables of MSRs.
Outcome write_x2apic_icr(x86::Msr index, u64 value);
Outcome write_apic_base(x86::Msr index, u64 value);

// Whether a nested page fault is a store to the xAPIC page, the only one that the guest must not
// write.
inline bool is_xapic_store(const VmExit& exit)
{
    return exit.write && exit.address - apic_access::page() < page_size;
}

// Executes a store to the page. The manuals leave all but aligned 32-bit stores undefined (SDM
// Vol. 3A, 11.4.1; APM Vol. 2, 16.3.2): shorter ones change their bytes of the register, the bytes
// 4 to 15 after a register take nothing. Returns whether the instruction has ended.
[[nodiscard]] bool store_to_xapic(Vcpu& vcpu, u32 offset, const AnyStore& store,
                                  GuestRegisters& registers, u64& rsp, x86::Rflags& flags);

// Nothing if it is not a known store, such as a write of the guest's page walk.
template <class G> std::optional<Outcome> emulate_xapic_store(G& guest, VmExit& exit)
{
    const GuestCode code = guest.code_at_rip();
    const auto store = decode_any_store(code.bytes, code.count, guest.code_size());
    if (!store)
        return std::nullopt;
    constexpr unsigned rsp_number = 4;
    u64 rsp = guest.read_register(rsp_number);
    x86::Rflags flags = guest.rflags();
    const bool ends = store_to_xapic(guest.vcpu, static_cast<u32>(exit.address.offset_in_page()),
                                     *store, guest.registers, rsp, flags);
    guest.write_register(rsp_number, rsp);
    guest.set_rflags(flags);
    exit.instruction_length = store->length;
    return ends ? Outcome::advance : Outcome::retry;
}

} // namespace zpp

// The guest's writes to its local APIC that exit: stores to the xAPIC page, the x2APIC's ICR, and
// IA32_APIC_BASE.
#pragma once
#include "apic/access.hpp"
#include "core/crash.hpp"
#include "emulate/guest_state.hpp"
#include "emulate/vm_exit.hpp"
#include "guest/code.hpp"

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

template <class G> Outcome emulate_xapic_store(G& guest, VmExit& exit)
{
    const auto offset = static_cast<u32>(exit.address.offset_in_page());
    const GuestCode code = guest.code_at_rip();
    const auto store = decode_store(code.bytes, code.count, guest.code_size());
    if (!store)
        crash_on_exit("cannot decode a store to the local APIC", guest.registers);
    u64& source = guest.register_of(store->source);
    const u32 old = store->exchange ? apic_access::read(offset) : 0;
    write_xapic(guest.vcpu, offset,
                store->from_register ? static_cast<u32>(source) : store->immediate);
    if (store->exchange)
        source = old;
    exit.instruction_length = store->length;
    return Outcome::advance;
}

} // namespace zpp

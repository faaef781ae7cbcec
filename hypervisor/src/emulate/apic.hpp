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

// The source of MOVS or POP, which the CPU has just read.
template <class G> bool read_source(G& guest, AnyStore& store)
{
    const bool is_64_bit = guest.code_size() == CodeSize::bits64;
    SegmentRegister segment = store.segment;
    u64 offset = guest.registers.rsi;
    if (store.operation == AnyStore::Operation::pop) {
        constexpr unsigned rsp_number = 4;
        segment = SegmentRegister::ss;
        offset = guest.read_register(rsp_number);
        store.address = is_64_bit               ? CodeSize::bits64
                        : guest.has_big_stack() ? CodeSize::bits32
                                                : CodeSize::bits16;
    }
    const bool has_base =
        !is_64_bit || segment == SegmentRegister::fs || segment == SegmentRegister::gs;
    const u64 linear =
        (has_base ? guest.segment_base(segment) : 0) + wrap_to(offset, store.address);
    const auto value = read_linear(guest.vcpu, guest.paging(),
                                   {is_64_bit ? linear : static_cast<u32>(linear)}, store.size);
    store.immediate = value.value_or(0);
    return value.has_value();
}

// Nothing if it is not a known store, such as a write of the guest's page walk.
template <class G> std::optional<Outcome> emulate_xapic_store(G& guest, VmExit& exit)
{
    const GuestCode code = guest.code_at_rip();
    auto store = decode_any_store(code.bytes, code.count, guest.code_size());
    if (!store || (store->from_memory() && !read_source(guest, *store)))
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

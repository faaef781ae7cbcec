// The packet of a VM exit for the trace, from the guest of either vendor.
#pragma once
#include "core/trace.hpp"
#include "emulate/guest_state.hpp"

namespace zpp::trace {

struct Exit {
    u32 reason;
    u16 cs;
    u64 qualification;
    bool has_detail; // instead of the registers
    u64 detail[2];
};

template <class Guest> zpp_trace_mode mode_of(const Guest& guest)
{
    if (!has(guest.cr0(), x86::Cr0::pe))
        return ZPP_TRACE_REAL;
    if (has(guest.rflags(), x86::Rflags::vm))
        return ZPP_TRACE_VIRTUAL_8086;
    switch (guest.code_size()) {
    case CodeSize::bits64: return ZPP_TRACE_64_BIT;
    case CodeSize::bits32: return ZPP_TRACE_32_BIT;
    default: return ZPP_TRACE_16_BIT;
    }
}

// Called before the handler, which might not return, or wait until another CPU starts this one.
template <class Guest> void write_exit(const Guest& guest, const Exit& exit)
{
    const GuestRegisters& registers = guest.registers;
    zpp_trace_exit packet{};
    packet.cs = exit.cs;
    packet.reason = exit.reason;
    packet.mode = static_cast<u8>(mode_of(guest));
    packet.cpl = static_cast<u8>(guest.cpl());
    packet.rip = guest.rip();
    packet.qualification = exit.qualification;
    packet.operands[0] = exit.has_detail ? exit.detail[0] : registers.rax;
    packet.operands[1] =
        exit.has_detail ? exit.detail[1] : static_cast<u32>(registers.rcx) | registers.rdx << 32;
    write(packet);
}

} // namespace zpp::trace

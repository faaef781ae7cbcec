#include "emulate/sleep.hpp"
#include "core/log.hpp"
#include "core/machine.hpp"
#include "guest/windows.hpp"
#include "x86/instructions.hpp"

namespace zpp {
namespace {

u32 in(u16 port, unsigned size)
{
    switch (size) {
    case 1: return x86::in8(port);
    case 2: return x86::in16(port);
    default: return x86::in32(port);
    }
}

void out(u16 port, unsigned size, u32 value)
{
    switch (size) {
    case 1: return x86::out8(port, static_cast<u8>(value));
    case 2: return x86::out16(port, static_cast<u16>(value));
    default: return x86::out32(port, value);
    }
}

u32 mask_of(unsigned size) { return static_cast<u32>(bits(8 * size - 1, 0)); }

// ACPI 6.5, 4.8.3.2.1: bit 13 of the register.
bool sets_slp_en(const PortAccess& access, u32 value)
{
    constexpr u32 slp_en = bit(13 - 8);
    return (value >> 8 * (sleep_port() - access.port) & slp_en) != 0;
}

// A system that wants the firmware to wake it up leaves its address in the FACS (ACPI 6.5, 5.2.10);
// one that turns the machine off or has saved its memory to disk does not.
bool suspends_to_ram(Vcpu& vcpu)
{
    constexpr unsigned waking_vector = 12, x_waking_vector = 24;
    const u8* const facs = look_at(vcpu, last_window, {machine.info().sleep.facs});
    if (facs == nullptr)
        return false;
    u32 vector;
    u64 x_vector;
    __builtin_memcpy(&vector, facs + waking_vector, sizeof vector);
    __builtin_memcpy(&x_vector, facs + x_waking_vector, sizeof x_vector);
    return vector != 0 || x_vector != 0;
}

} // namespace

constinit const PortInstructions real_port_instructions{in, out};

u16 sleep_port()
{
    const u16 port = machine.info().sleep.pm1a_control;
    return port != 0 ? static_cast<u16>(port + 1) : port;
}

Outcome emulate_sleep_port(Vcpu& vcpu, const PortAccess& access, GuestRegisters& registers,
                           const PortInstructions& ports)
{
    if (access.string) // no system has a reason to use them here
        return Outcome::general_protection;
    if (access.in) {
        const u64 kept = access.size == 4 ? 0 : registers.rax & ~u64{mask_of(access.size)};
        registers.rax = kept | ports.in(access.port, access.size);
        return Outcome::advance;
    }
    const u32 value = static_cast<u32>(registers.rax) & mask_of(access.size);
    if (sets_slp_en(access, value) && suspends_to_ram(vcpu))
        log::line("zpp: the machine suspends to RAM; the system will wake up without zpp");
    ports.out(access.port, access.size, value);
    return Outcome::advance;
}

} // namespace zpp

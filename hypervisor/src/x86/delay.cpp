#include "x86/delay.hpp"

namespace zpp::x86 {
namespace {

constexpr u16 timer_channel_2 = 0x42, timer_mode = 0x43;
constexpr u8 one_shot = 0xb0; // channel 2, both bytes, mode 0
constexpr u32 timer_hz = 1'193'182;

constexpr u16 port_b = 0x61;
constexpr u8 gate = bit(0), speaker = bit(1), output = bit(5);

constexpr u32 slice = 50;                 // milliseconds; the counter has 16 bits
constexpr u32 polls_of_slice = 4'000'000; // no machine reads a port in 12 ns

constexpr u16 post_code = 0x80;

bool wait_by_timer(u32 milliseconds, const Ports& ports)
{
    const u32 count = timer_hz * milliseconds / 1000;
    ports.out8(port_b, static_cast<u8>((ports.in8(port_b) & ~speaker) | gate));
    ports.out8(timer_mode, one_shot);
    ports.out8(timer_channel_2, static_cast<u8>(count));
    ports.out8(timer_channel_2, static_cast<u8>(count >> 8));
    for (u32 i = 0; i < polls_of_slice; ++i)
        if ((ports.in8(port_b) & output) != 0)
            return true;
    return false;
}

void wait_without_timer(u32 milliseconds, const Ports& ports)
{
    if (const u64 hz = tsc_hz(ports); hz != 0) {
        const u64 start = ports.rdtsc();
        while (ports.rdtsc() - start < hz / 1000 * milliseconds)
            ;
        return;
    }
    for (u64 i = 0; i < u64{milliseconds} * 1000; ++i)
        (void)ports.in8(post_code);
}

} // namespace

u64 tsc_hz(const Ports& ports)
{
    const u32 leaves = ports.cpuid(0, 0).eax;
    if (leaves >= 0x15) {
        const CpuidResult tsc = ports.cpuid(0x15, 0);
        if (tsc.eax != 0 && tsc.ebx != 0 && tsc.ecx != 0)
            return u64{tsc.ecx} * tsc.ebx / tsc.eax;
    }
    return leaves >= 0x16 ? u64{ports.cpuid(0x16, 0).eax & 0xffff} * 1'000'000 : 0;
}

void wait_milliseconds(u32 milliseconds, const Ports& ports)
{
    while (milliseconds != 0) {
        const u32 now = milliseconds < slice ? milliseconds : slice;
        if (!wait_by_timer(now, ports))
            return wait_without_timer(milliseconds, ports);
        milliseconds -= now;
    }
}

} // namespace zpp::x86

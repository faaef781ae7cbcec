#include "x86/reset.hpp"
#include "x86/delay.hpp"
#include <initializer_list>

namespace zpp::x86 {
namespace {

constexpr u16 keyboard_controller = 0x64;
constexpr u8 input_buffer_full = bit(1);
constexpr u8 pulse_reset = 0xfe;

constexpr u16 reset_control = 0xcf9;
constexpr u8 system_reset = bit(1), reset_cpu = bit(2), full_reset = bit(3);

constexpr u32 settle = 50; // milliseconds

} // namespace

void try_reset(const Ports& ports)
{
    for (u32 i = 0; i < 100'000 && (ports.in8(keyboard_controller) & input_buffer_full) != 0; ++i)
        ;
    ports.out8(keyboard_controller, pulse_reset);
    wait_milliseconds(settle, ports);
    for (const u8 kind : {system_reset, static_cast<u8>(system_reset | full_reset)}) {
        ports.out8(reset_control, kind); // RST_CPU must change from 0 to 1
        ports.out8(reset_control, kind | reset_cpu);
        wait_milliseconds(settle, ports);
    }
}

} // namespace zpp::x86

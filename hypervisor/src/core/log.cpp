#include "core/log.hpp"
#include "lib/spinlock.hpp"
#include "x86/instructions.hpp"

namespace zpp::log {
namespace {

constinit Spinlock lock;
constinit char ring[ring_size] = {};
constinit u64 written = 0;
constinit u16 serial_port = 0;
constinit bool lock_is_broken = false;

// PC16550D data sheet: line status register; transmitter holding register empty.
constexpr u16 line_status = 5;
constexpr u8 transmitter_empty = 0x20;

void send(char character)
{
    // A missing UART reads as ones; one that hangs must not hang the host.
    for (unsigned tries = 0; tries < 100'000; ++tries)
        if (x86::in8(serial_port + line_status) & transmitter_empty)
            break;
    x86::out8(serial_port, static_cast<u8>(character));
}

void to_ring(char character)
{
    ring[written % ring_size] = character;
    __atomic_store_n(&written, written + 1, __ATOMIC_RELEASE);
}

void to_serial_port(char character)
{
    if (serial_port == 0)
        return;
    if (character == '\n')
        send('\r');
    send(character);
}

// Everything that shows the log, crash reports among it. A channel must work in any state of the
// machine, and end.
constexpr void (*channels[])(char character) = {to_ring, to_serial_port};

void put(void*, char character)
{
    for (const auto channel : channels)
        channel(character);
}

} // namespace

void set_serial_port(u16 port) { serial_port = port; }

void write_line(const char* pattern, const FormatArgument* arguments, std::size_t count)
{
    constexpr unsigned tries = 1'000'000;
    const bool broken = __atomic_load_n(&lock_is_broken, __ATOMIC_ACQUIRE);
    if (!broken)
        lock.lock();
    else if (!lock.lock_within(tries))
        lock.unlock(); // of the CPU that is stopped
    format(put, nullptr, pattern, arguments, count);
    put(nullptr, '\n');
    lock.unlock();
}

void break_lock() { __atomic_store_n(&lock_is_broken, true, __ATOMIC_RELEASE); }

u64 end() { return __atomic_load_n(&written, __ATOMIC_ACQUIRE); }

u64 begin()
{
    const u64 last = end();
    return last > ring_size ? last - ring_size : 0;
}

void read(u64 position, char* to, std::size_t size)
{
    const u64 last = end();
    const u64 left = position < last ? last - position : 0;
    for (std::size_t i = 0; i < size; ++i)
        to[i] = i < left ? ring[(position + i) % ring_size] : '\0';
}

} // namespace zpp::log

// The log: a ring in memory that a hypercall reads, and a serial port for whoever watches.
#pragma once
#include "lib/format.hpp"
#include "lib/types.hpp"

namespace zpp::log {

constexpr u64 ring_size = 16 * 1024;

// port: I/O port of a 16550 UART that the firmware has set up, 0 for none.
void set_serial_port(u16 port);

// One line; see format() for the placeholders. The line's end is added.
void write_line(const char* pattern, const FormatArgument* arguments, std::size_t count);

template <class... Arguments> void line(const char* pattern, Arguments... arguments)
{
    const FormatArgument list[sizeof...(arguments) + 1] = {FormatArgument(arguments)..., 0};
    write_line(pattern, list, sizeof...(arguments));
}

// From a crash: whoever holds the lock will not let it go any more.
void break_lock();

// Bytes written since the start, and the position of the oldest byte the ring still holds.
u64 end();
u64 begin();

// Copies `size` bytes from `position` on, zeros past the end. Precondition: position >= begin().
void read(u64 position, char* to, std::size_t size);

} // namespace zpp::log

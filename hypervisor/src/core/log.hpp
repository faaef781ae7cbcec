// The log: a ring buffer that a hypercall reads and that survives a warm reset (zpp/log_record.h),
// and a serial port. log.cpp lists these channels.
#pragma once
#include "lib/format.hpp"
#include "lib/types.hpp"
#include "zpp/log_record.h"

namespace zpp::log {

constexpr u64 ring_size = ZPP_LOG_TEXT_SIZE;

// At PREPARE. Before it a line goes to the serial port only. Precondition: `record` is zeros.
void begin_record(zpp_log_record* record, u64 physical, u32 cpu_count, const u8* build_id);

// port: I/O port of a 16550 UART that the firmware has initialized; 0 for none.
void set_serial_port(u16 port);

// Writes one line and its newline; see format() for the placeholders.
void write_line(const char* pattern, const FormatArgument* arguments, std::size_t count);

template <class... Arguments> void line(const char* pattern, Arguments... arguments)
{
    const FormatArgument list[sizeof...(arguments) + 1] = {FormatArgument(arguments)..., 0};
    write_line(pattern, list, sizeof...(arguments));
}

void write_end(zpp_log_end how, const char* pattern, const FormatArgument* arguments,
               std::size_t count);

// Notes in the record how this boot ends, and why, for the next one.
template <class... Arguments>
void note_end(zpp_log_end how, const char* pattern, Arguments... arguments)
{
    const FormatArgument list[sizeof...(arguments) + 1] = {FormatArgument(arguments)..., 0};
    write_end(how, pattern, list, sizeof...(arguments));
}

// For a crash: from now on a line waits for the lock, whose holder may be stopped, for a moment only.
void break_lock();

// Positions count all bytes since the start: the next byte, and the oldest byte still in the ring.
u64 end();
u64 begin();

// Copies `size` bytes from `position`, zeros beyond the end. Precondition: position >= begin().
void read(u64 position, char* to, std::size_t size);

} // namespace zpp::log

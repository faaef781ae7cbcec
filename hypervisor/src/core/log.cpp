#include "core/log.hpp"
#include "lib/spinlock.hpp"
#include "x86/instructions.hpp"
#include "zpp/hypercall.h"

namespace zpp::log {
namespace {

constinit Spinlock lock;
constinit zpp_log_record* record = nullptr;
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
    if (record == nullptr)
        return;
    char& place = record->text[record->written % ring_size];
    record->text_sum += static_cast<u8>(character) - static_cast<u8>(place);
    place = character;
    __atomic_store_n(&record->written, record->written + 1, __ATOMIC_RELEASE);
}

// A reset loses what is only in the caches.
void flush_ring(u64 from)
{
    if (record == nullptr)
        return;
    x86::flush_cache(record, offsetof(zpp_log_record, text));
    for (; from < record->written; from += x86::cache_line)
        x86::flush_cache(&record->text[from % ring_size], 1);
    x86::flush_cache(&record->text[(record->written - 1) % ring_size], 1);
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

void begin_record(zpp_log_record* to, u64 physical, u32 cpu_count, const u8* build_id)
{
    to->magic = ZPP_LOG_MAGIC;
    to->version = ZPP_LOG_VERSION;
    to->size = sizeof *to;
    to->physical = physical;
    to->cpu_count = cpu_count;
    to->zpp_version = ZPP_VERSION;
    for (unsigned i = 0; i < sizeof to->build_id; ++i)
        to->build_id[i] = build_id[i];
    to->head_check = zpp_log_head_check(to);
    record = to;
    x86::flush_cache(to, sizeof *to);
}

void set_serial_port(u16 port) { serial_port = port; }

void write_line(const char* pattern, const FormatArgument* arguments, std::size_t count)
{
    constexpr unsigned tries = 1'000'000;
    const bool broken = __atomic_load_n(&lock_is_broken, __ATOMIC_ACQUIRE);
    if (!broken)
        lock.lock();
    else if (!lock.lock_within(tries))
        lock.unlock(); // of the CPU that is stopped
    const u64 start = end();
    format(put, nullptr, pattern, arguments, count);
    put(nullptr, '\n');
    flush_ring(start);
    lock.unlock();
}

void write_end(zpp_log_end how, const char* pattern, const FormatArgument* arguments,
               std::size_t count)
{
    if (record == nullptr || record->end == ZPP_LOG_CRASH)
        return; // the first crash is the reason for the others
    struct {
        char* to;
        unsigned used;
    } reason{record->reason, 0};
    const auto append = [](void* context, char character) {
        auto& text = *static_cast<decltype(reason)*>(context);
        if (text.used < ZPP_LOG_REASON_SIZE - 1)
            text.to[text.used++] = character;
    };
    format(append, &reason, pattern, arguments, count);
    record->reason[reason.used] = '\0';
    record->end = how;
    flush_ring(record->written);
}

void break_lock() { __atomic_store_n(&lock_is_broken, true, __ATOMIC_RELEASE); }

u64 end() { return record != nullptr ? __atomic_load_n(&record->written, __ATOMIC_ACQUIRE) : 0; }

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
        to[i] = i < left ? record->text[(position + i) % ring_size] : '\0';
}

} // namespace zpp::log

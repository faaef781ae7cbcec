#include "core/trace.hpp"
#include "core/build_id.hpp"
#include "core/log.hpp"
#include "core/machine.hpp"
#include "core/stop.hpp"
#include "core/virt.hpp"
#include "lib/spinlock.hpp"
#include "x86/delay.hpp"
#include "x86/ports.hpp"
#include "zpp/hypercall.h"

namespace zpp::trace {
namespace {

constinit Spinlock lock;

template <class Packet> void send(Packet& packet, zpp_trace_kind kind)
{
    packet.head = {ZPP_TRACE_SYNC, static_cast<u8>(kind), 0};
    const auto* bytes = reinterpret_cast<const u8*>(&packet);
    u8 sum = 0;
    for (unsigned i = 0; i < sizeof packet; ++i)
        sum = static_cast<u8>(sum + bytes[i]);
    packet.head.check = static_cast<u8>(-sum);
    x86::out8(debug_port, bytes, sizeof packet);
}

} // namespace

void start(u16 port)
{
    if (port == 0)
        return;
    if (x86::in8(port) != ZPP_TRACE_PORT_ID) {
        log::line("zpp: no trace: there is no debug port at 0x{x}; remove `trace` from zpp.conf",
                  port);
        return;
    }
    debug_port = port;
    zpp_trace_start packet{.head = {},
                           .version = ZPP_TRACE_VERSION,
                           .vendor = static_cast<u16>(vendor().feature),
                           .zpp_version = ZPP_VERSION,
                           .cpu_count = machine.cpu_count(),
                           .tsc = x86::rdtsc(),
                           .tsc_hz = x86::tsc_hz(x86::real_ports),
                           .build_id = {},
                           .reserved = 0};
    static_assert(sizeof packet.build_id == build_id_size);
    for (unsigned i = 0; i < sizeof packet.build_id; ++i)
        packet.build_id[i] = build_id()[i];
    send(packet, ZPP_TRACE_START);
}

void write(zpp_trace_exit& packet)
{
    packet.cpu = static_cast<u16>(current_vcpu().index);
    constexpr unsigned tries = 1000;
    while (!lock.lock_within(tries))
        if (is_stopping()) // after a crash; the lock's holder may be stopped
            return;
    packet.tsc = x86::rdtsc();
    send(packet, ZPP_TRACE_EXIT);
    lock.unlock();
}

} // namespace zpp::trace

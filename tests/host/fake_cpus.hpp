// A machine of several CPUs, for INIT and SIPI between them.
#pragma once
#include "apic/startup.hpp"
#include "core/machine.hpp"
#include "fake_core.hpp"
#include <cstdlib>
#include <cstring>
#include <doctest/doctest.h>

namespace zpp::test {

constexpr u32 to_self = 1u << 18, to_all = 2u << 18, to_others = 3u << 18;
constexpr u32 init = 0x4500, init_level = 0xc500, init_deassert = 0x8500, sipi = 0x4600;
constexpr u32 nmi = 0x4400;

// A machine of CPUs with the APIC IDs 0, 2, 4 ..., all launched.
class Cpus {
public:
    explicit Cpus(u32 count)
        : count_(count), memory_(std::aligned_alloc(ZPP_CPU_BLOCK_SIZE, count * ZPP_CPU_BLOCK_SIZE))
    {
        std::memset(memory_, 0, count * ZPP_CPU_BLOCK_SIZE);
        static zpp_boot_info info;
        info = boot_info();
        info.cpu_count = count;
        // Page numbers count from the core's base, and wrap.
        info.cpu_blocks_page = (reinterpret_cast<u64>(memory_) - ZPP_CORE_BASE) / page_size;
        REQUIRE(machine.adopt(&info));
        for (u32 index = 0; index < count; ++index) {
            Vcpu& vcpu = (*this)[index];
            REQUIRE(&vcpu ==
                    static_cast<void*>(static_cast<char*>(memory_) + index * ZPP_CPU_BLOCK_SIZE));
            vcpu.index = index;
            vcpu.launched = true;
            vcpu.apic_id = index * 2;
            vcpu.startup.logical_destination = 1u << (24 + index);
            vcpu.startup.destination_format = 0xffffffff;
        }
    }
    ~Cpus()
    {
        static const zpp_boot_info none = boot_info();
        (void)machine.adopt(&none);
        std::free(memory_);
    }
    Cpus(const Cpus&) = delete;
    Cpus& operator=(const Cpus&) = delete;

    Vcpu& operator[](u32 index) { return machine.vcpu(index); }

    // CPU `from` writes its ICR: to the CPU with this APIC ID, or with a shorthand.
    bool send(u32 from, u32 low, u32 apic_id = 0)
    {
        return startup::intercept((*this)[from], Icr::xapic(low, apic_id << 24));
    }

    // Lets a CPU take its INIT and its SIPI, which must be there. Returns the vector.
    unsigned start(u32 index)
    {
        static unsigned started;
        started = ~0u;
        GuestRegisters registers{};
        startup::take((*this)[index], registers,
                      {[](GuestRegisters&) {}, [](u8 vector) { started = vector; },
                       [] { throw Crash{"no SIPI"}; }});
        return started;
    }

    bool kicked(u32 index) { return (*this)[index].startup.kicked; }

    bool none_waits()
    {
        for (u32 index = 0; index < count_; ++index)
            if (startup::waits((*this)[index]))
                return false;
        return true;
    }

private:
    u32 count_;
    void* memory_;
};

} // namespace zpp::test

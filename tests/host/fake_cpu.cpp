#include "fake_cpu.hpp"
#include <cstdlib>
#include <cstring>
#include <doctest/doctest.h>
#include <pthread.h>

extern "C" {
#include "loader/cpu.h"
}

namespace zpp::test {

FakeCpu fake_cpu;

CpuBlock::CpuBlock() : memory_(std::aligned_alloc(ZPP_CPU_BLOCK_SIZE, ZPP_CPU_BLOCK_SIZE))
{
    std::memset(memory_, 0, ZPP_CPU_BLOCK_SIZE);
}

CpuBlock::~CpuBlock() { std::free(memory_); }

void CpuBlock::run(const std::function<void()>& work)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, &vcpu() + 1, ZPP_CPU_BLOCK_SIZE - sizeof(Vcpu));
    const auto start = [](void* argument) -> void* {
        (*static_cast<const std::function<void()>*>(argument))();
        return nullptr;
    };
    pthread_t thread;
    const int error =
        pthread_create(&thread, &attributes, start, const_cast<std::function<void()>*>(&work));
    REQUIRE(error == 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
}

} // namespace zpp::test

using zpp::test::fake_cpu;
using zpp::test::FakeCpu;

extern "C" {

unsigned zpp_cpu_physical_address_bits(void) { return fake_cpu.physical_address_bits; }
int zpp_cpu_has_large_nested_pages(void) { return fake_cpu.large_nested_pages; }
unsigned zpp_cpu_paging_levels(void) { return fake_cpu.paging_levels; }
const zpp_requirement* zpp_cpu_missing(zpp_group group)
{
    CHECK(group == ZPP_FOR_LOADER);
    return fake_cpu.no_execute ? nullptr : &zpp_requirements[0];
}
int zpp_cpu_is_held(void) { return fake_cpu.held; }
int zpp_cpu_is_amd(void) { return fake_cpu.amd; }

void zpp_cpu_capture(zpp_cpu_state* state)
{
    CHECK(fake_cpu.rflags == FakeCpu::interrupts_off);
    state->cr3 = fake_cpu.cr3;
}

void zpp_cpu_restore(const zpp_cpu_state* state)
{
    CHECK(fake_cpu.rflags == FakeCpu::interrupts_off);
    fake_cpu.restored.push_back(*state);
}

uint64_t zpp_cpu_interrupts_off(void)
{
    const uint64_t before = fake_cpu.rflags;
    fake_cpu.rflags = FakeCpu::interrupts_off;
    return before;
}

void zpp_cpu_interrupts_restore(uint64_t rflags) { fake_cpu.rflags = rflags; }

uint64_t zpp_cpu_hypercall(uint32_t number, zpp_hypercall_registers*)
{
    fake_cpu.hypercalls.push_back(number);
    return fake_cpu.hypercall_status;
}

} // extern "C"

#include "fake_trampoline.hpp"
#include "fake_cpu.hpp"
#include "zpp/status.h"
#include <doctest/doctest.h>

extern "C" {
#include "loader/trampoline.h"
}

asm(".pushsection .text\n"
    ".balign 4096\n"
    ".skip 4096 - 100\n"
    ".globl zpp_trampoline_start, zpp_trampoline_leave, zpp_trampoline_end\n"
    "zpp_trampoline_start: .skip 70\n"
    "zpp_trampoline_leave: .skip 130\n"
    "zpp_trampoline_end:\n"
    ".popsection\n");

namespace zpp::test {

FakeTrampoline fake_trampoline;

} // namespace zpp::test

using namespace zpp::test;

extern "C" {

uint64_t zpp_trampoline_call(zpp_cpu_call* call)
{
    CHECK(fake_cpu.rflags == FakeCpu::interrupts_off);
    const uint64_t status = fake_trampoline.call(*call);
    if (call->phase == ZPP_PHASE_LAUNCH && status == ZPP_OK)
        fake_cpu.held = true;
    return status;
}

void zpp_trampoline_unblock_nmi(void) { CHECK(fake_cpu.rflags == FakeCpu::interrupts_off); }

uint64_t zpp_trampoline_devirtualize(zpp_cpu_call* call)
{
    CHECK(fake_cpu.rflags == FakeCpu::interrupts_off);
    return fake_trampoline.devirtualize(*call);
}

} // extern "C"

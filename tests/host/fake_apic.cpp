#include "fake_apic.hpp"
#include "apic/access.hpp"
#include <cstdlib>
#include <mutex>
#include <ucontext.h>
#include <utility>

namespace zpp {
namespace test {
namespace {

constexpr u32 apic_base_msr = 0x1b;
constexpr u64 apic_base_default = 0xfee00800, apic_base_bsp = 0x100;

thread_local constinit u64 apic_base = apic_base_default;
thread_local u32 registers[256];
std::mutex sent_lock;
std::vector<Command> sent;

void on_fault(int, siginfo_t*, void* context)
{
    auto& general = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    const auto* code = reinterpret_cast<const u8*>(general[REG_RIP]);
    const bool is_rdmsr = code[0] == 0x0f && code[1] == 0x32;
    if (!is_rdmsr || static_cast<u32>(general[REG_RCX]) != apic_base_msr)
        std::abort(); // a fault of another kind
    general[REG_RAX] = static_cast<u32>(apic_base);
    general[REG_RDX] = static_cast<u32>(apic_base >> 32);
    general[REG_RIP] += 2;
}

} // namespace

FakeApic::FakeApic()
{
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &previous_);
    set_bsp(false);
    (void)take_sent();
}

FakeApic::~FakeApic() { sigaction(SIGSEGV, &previous_, nullptr); }

void FakeApic::set_bsp(bool bsp) { apic_base = apic_base_default | (bsp ? apic_base_bsp : 0); }

std::vector<Command> FakeApic::take_sent()
{
    const std::lock_guard guard(sent_lock);
    return std::exchange(sent, {});
}

} // namespace test

Gpa apic_access::page() { return {test::apic_base_default & ~(page_size - 1)}; }
bool apic_access::is_x2apic() { return false; }

u32 apic_access::read(u32 offset) { return test::registers[offset / 16]; }
void apic_access::write(u32 offset, u32 value) { test::registers[offset / 16] = value; }

void apic_access::send(u32 apic_id, u32 low)
{
    const std::lock_guard guard(test::sent_lock);
    test::sent.push_back({apic_id, low});
}

} // namespace zpp

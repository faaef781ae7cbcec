#include "x86/exceptions.hpp"
#include "x86/segments.hpp"

namespace zpp::x86 {
namespace {

constexpr unsigned vectors = 256;
constexpr unsigned exceptions = 32;

struct Gate { // SDM Vol. 3A, 7.14.1
    u16 offset_low, selector;
    u8 ist, type;
    u16 offset_middle;
    u32 offset_high, reserved;
};
static_assert(sizeof(Gate) == 16);

struct Fixup {
    std::int32_t fault, landing; // relative to the field itself

    static u64 target(const std::int32_t& field)
    {
        return reinterpret_cast<u64>(&field) + static_cast<u64>(static_cast<std::int64_t>(field));
    }
};

constinit Gate idt[vectors] = {};

} // namespace

extern "C" {
extern const char zpp_exception_stubs[]; // exceptions.S: one for each exception, 16 bytes apart
extern const char zpp_interrupt_stub[];
extern const Fixup zpp_fixups_start[], zpp_fixups_end[];
}

bool fix_up(ExceptionFrame& frame)
{
    for (const Fixup* fixup = zpp_fixups_start; fixup != zpp_fixups_end; ++fixup)
        if (frame.rip == Fixup::target(fixup->fault)) {
            frame.rip = Fixup::target(fixup->landing);
            return true;
        }
    return false;
}

void build_idt()
{
    constexpr u8 interrupt_gate = 0x8e;
    for (unsigned vector = 0; vector < vectors; ++vector) {
        const u64 stub = vector < exceptions
                             ? reinterpret_cast<u64>(zpp_exception_stubs) + vector * 16
                             : reinterpret_cast<u64>(zpp_interrupt_stub);
        idt[vector] = {.offset_low = static_cast<u16>(stub),
                       .selector = host_cs,
                       .ist = static_cast<u8>(vector == vector_double_fault ? 1 : 0),
                       .type = interrupt_gate,
                       .offset_middle = static_cast<u16>(stub >> 16),
                       .offset_high = static_cast<u32>(stub >> 32),
                       .reserved = 0};
    }
}

void load_idt()
{
    const struct [[gnu::packed]] {
        u16 limit;
        u64 base;
    } idtr{sizeof idt - 1, idt_base()};
    asm volatile("lidt %0" : : "m"(idtr));
}

u64 idt_base() { return reinterpret_cast<u64>(idt); }

void unblock_nmi()
{
    asm volatile("movl %%ss, %%eax\n"
                 "movq %%rsp, %%rcx\n"
                 "pushq %%rax\n"
                 "pushq %%rcx\n"
                 "pushfq\n"
                 "movl %%cs, %%eax\n"
                 "pushq %%rax\n"
                 "leaq 1f(%%rip), %%rax\n"
                 "pushq %%rax\n"
                 "iretq\n"
                 "1:\n"
                 :
                 :
                 : "rax", "rcx", "cc", "memory");
}

} // namespace zpp::x86

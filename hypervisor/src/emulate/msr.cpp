#include "emulate/msr.hpp"
#include "guest/memory.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp {
namespace {

namespace msr = x86::msr;

const MsrHandler* find(MsrHandlers handlers, u32 index)
{
    for (const MsrHandler& handler : handlers)
        if (index - handler.first <= handler.last - handler.first)
            return &handler;
    return nullptr;
}

} // namespace

Outcome refuse_rdmsr(u32, u64&) { return Outcome::general_protection; }
Outcome refuse_wrmsr(u32, u64) { return Outcome::general_protection; }
Outcome ignore_wrmsr(u32, u64) { return Outcome::advance; }

Outcome pass_wrmsr(u32 msr, u64 value)
{
    return x86::safe_wrmsr(msr, value) ? Outcome::advance : Outcome::general_protection;
}

Outcome emulate_rdmsr(MsrHandlers handlers, const VmExit& exit, GuestRegisters& registers)
{
    u64 value = 0;
    Outcome outcome = Outcome::advance;
    if (const MsrHandler* handler = find(handlers, exit.index); handler && handler->read)
        outcome = handler->read(exit.index, value);
    else if (!x86::safe_rdmsr(exit.index, value))
        outcome = Outcome::general_protection;
    if (outcome == Outcome::advance)
        registers.set_edx_eax(value);
    return outcome;
}

Outcome emulate_wrmsr(MsrHandlers handlers, const VmExit& exit)
{
    if (const MsrHandler* handler = find(handlers, exit.index); handler && handler->write)
        return handler->write(exit.index, exit.value);
    const Outcome outcome = pass_wrmsr(exit.index, exit.value);
    if (outcome == Outcome::advance && guest_memory::depends_on(exit.index))
        guest_memory::follow_mtrrs();
    return outcome;
}

void for_each_intercepted_msr(MsrHandlers handlers, void (*intercept)(void*, u32, u32, bool, bool),
                              void* context)
{
    for (const MsrHandler& handler : handlers)
        intercept(context, handler.first, handler.last, handler.read != nullptr,
                  handler.write != nullptr);
    for (u32 index = msr::mtrr_variable_base; index <= msr::mtrr_default_type; ++index)
        if (guest_memory::depends_on(index))
            intercept(context, index, index, false, true);
}

} // namespace zpp

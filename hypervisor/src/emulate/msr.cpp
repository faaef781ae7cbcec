#include "emulate/msr.hpp"
#include "guest/memory.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp {

using x86::Msr;

namespace {

const MsrHandler* find(MsrHandlers handlers, Msr index)
{
    for (const MsrHandler& handler : handlers)
        if (index - handler.first <= handler.last - handler.first)
            return &handler;
    return nullptr;
}

} // namespace

Outcome refuse_rdmsr(Msr, u64&) { return Outcome::general_protection; }
Outcome refuse_wrmsr(Msr, u64) { return Outcome::general_protection; }
Outcome ignore_wrmsr(Msr, u64) { return Outcome::advance; }

Outcome pass_wrmsr(Msr msr, u64 value)
{
    return x86::safe_wrmsr(msr, value) ? Outcome::advance : Outcome::general_protection;
}

Outcome read_msr(MsrHandlers handlers, Msr msr, u64& value)
{
    if (const MsrHandler* handler = find(handlers, msr); handler && handler->read)
        return handler->read(msr, value);
    return x86::safe_rdmsr(msr, value) ? Outcome::advance : Outcome::general_protection;
}

Outcome emulate_rdmsr(MsrHandlers handlers, const VmExit& exit, GuestRegisters& registers)
{
    u64 value = 0;
    const Outcome outcome = read_msr(handlers, Msr{exit.index}, value);
    if (outcome == Outcome::advance)
        registers.set_edx_eax(value);
    return outcome;
}

Outcome emulate_wrmsr(MsrHandlers handlers, const VmExit& exit)
{
    const Msr msr{exit.index};
    if (const MsrHandler* handler = find(handlers, msr); handler && handler->write)
        return handler->write(msr, exit.value);
    const Outcome outcome = pass_wrmsr(msr, exit.value);
    if (outcome == Outcome::advance && guest_memory::depends_on(msr))
        guest_memory::follow_mtrrs();
    return outcome;
}

void for_each_intercepted_msr(MsrHandlers handlers, void (*intercept)(void*, Msr, Msr, bool, bool),
                              void* context)
{
    for (const MsrHandler& handler : handlers)
        intercept(context, handler.first, handler.last, handler.read != nullptr,
                  handler.write != nullptr);
    for (Msr msr = Msr::ia32_mtrr_physbase0; msr <= Msr::ia32_mtrr_def_type; msr = msr + 1)
        if (guest_memory::depends_on(msr))
            intercept(context, msr, msr, false, true);
}

} // namespace zpp

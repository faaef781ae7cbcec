#include "emulate/hypercall.hpp"
#include "core/host_paging.hpp"
#include "core/log.hpp"
#include "core/machine.hpp"
#include "core/virt.hpp"

namespace zpp {
namespace {

zpp_hypercall_status read_log(GuestRegisters& registers)
{
    const u64 position = registers.rbx;
    if (position < log::begin()) {
        registers.rbx = log::begin();
        return ZPP_HYPERCALL_GONE;
    }
    u64 text[4];
    log::read(position, reinterpret_cast<char*>(text), sizeof text);
    registers.rbx = text[0];
    registers.rcx = text[1];
    registers.rdx = text[2];
    registers.rsi = text[3];
    return ZPP_HYPERCALL_OK;
}

zpp_hypercall_status count_exits(GuestRegisters& registers)
{
    if (registers.rbx >= machine.cpu_count() || registers.rcx >= Vcpu::exit_counters)
        return ZPP_HYPERCALL_BAD_ARGUMENT;
    registers.rbx = machine.vcpu(static_cast<u32>(registers.rbx)).exits[registers.rcx];
    return ZPP_HYPERCALL_OK;
}

zpp_hypercall_status confirm(GuestRegisters& registers)
{
    if (machine.committed())
        return ZPP_HYPERCALL_REFUSED;
    const Vcpu& vcpu = current_vcpu();
    log::line("zpp: CPU {} (APIC ID {}) virtualized with {}", vcpu.index, vcpu.apic_id,
              vendor().name);
    registers.rbx = vcpu.index;
    return ZPP_HYPERCALL_OK;
}

// After the commit the trampoline's pages are the OS's again.
void unmap_trampoline()
{
    const zpp_boot_info& info = machine.info();
    for (u64 page = info.trampoline_start & ~(page_size - 1); page < info.trampoline_end;
         page += page_size)
        unmap(reinterpret_cast<const void*>(page));
}

zpp_hypercall_status commit()
{
    if (machine.committed())
        return ZPP_HYPERCALL_REFUSED;
    for (u32 index = 0; index < machine.cpu_count(); ++index)
        if (!machine.vcpu(index).launched)
            return ZPP_HYPERCALL_REFUSED;
    machine.commit();
    unmap_trampoline();
    return ZPP_HYPERCALL_OK;
}

zpp_hypercall_status end()
{
    log::line("zpp: the system is about to power off or restart");
    log::note_end(ZPP_LOG_CLEAN, "");
    return ZPP_HYPERCALL_OK;
}

zpp_hypercall_status answer(GuestRegisters& registers)
{
    switch (static_cast<u32>(registers.rax)) {
    case ZPP_HYPERCALL_VERSION:
        registers.rbx = ZPP_HYPERCALL_INTERFACE;
        registers.rcx = ZPP_VERSION;
        return ZPP_HYPERCALL_OK;
    case ZPP_HYPERCALL_CPU_COUNT: registers.rbx = machine.cpu_count(); return ZPP_HYPERCALL_OK;
    case ZPP_HYPERCALL_EXIT_COUNT: return count_exits(registers);
    case ZPP_HYPERCALL_READ_LOG: return read_log(registers);
    case ZPP_HYPERCALL_MEMORY: registers.rbx = machine.pages(); return ZPP_HYPERCALL_OK;
    case ZPP_HYPERCALL_DEVIRTUALIZE: // see is_devirtualize_call()
        return ZPP_HYPERCALL_REFUSED;
    case ZPP_HYPERCALL_CONFIRM: return confirm(registers);
    case ZPP_HYPERCALL_COMMIT: return commit();
    case ZPP_HYPERCALL_END: return end();
    default: return ZPP_HYPERCALL_UNKNOWN;
    }
}

} // namespace

Outcome emulate_hypercall(GuestRegisters& registers)
{
    registers.rax = answer(registers);
    return Outcome::advance;
}

bool is_devirtualize_call(const Vcpu& vcpu, const GuestRegisters& registers, u64 rip)
{
    return registers.rax == ZPP_HYPERCALL(ZPP_HYPERCALL_DEVIRTUALIZE) && !machine.committed() &&
           vcpu.call != nullptr && rip >= machine.info().trampoline_start &&
           rip < machine.info().trampoline_end;
}

} // namespace zpp

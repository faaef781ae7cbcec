#include "apic/access.hpp"
#include "apic/init_state.hpp"
#include "core/host_paging.hpp"
#include "core/machine.hpp"
#include "paging/nested_paging.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::apic_access {
namespace {

using x86::ApicBase;
using x86::Msr;

constexpr u32 icr_delivery_pending = 1u << 12;

constinit volatile u8* registers = nullptr;
constinit Gpa physical{0};

constexpr Msr x2apic_msr(u32 offset) { return Msr::ia32_x2apic_first + offset / 16; }

void wait_until_idle()
{
    while ((read(apic_icr_low) & icr_delivery_pending) != 0)
        x86::pause();
}

} // namespace

Result prepare()
{
    physical = {raw(x86::rdmsr<ApicBase>() & ApicBase::base)};
    void* mapping = machine.allocate_page();
    if (mapping == nullptr)
        return {ZPP_NO_MEMORY, "a mapping of the local APIC"};
    remap(host_page_entry(mapping), mapping, identity(physical), Caching::uncacheable, true);
    registers = static_cast<volatile u8*>(mapping);
    return {};
}

Gpa page() { return physical; }

u32 read(u32 offset) { return *reinterpret_cast<const volatile u32*>(registers + offset); }

void write(u32 offset, u32 value) { *reinterpret_cast<volatile u32*>(registers + offset) = value; }

bool is_x2apic() { return has(x86::rdmsr<ApicBase>(), ApicBase::extd); }

u32 read_register(u32 offset)
{
    return is_x2apic() ? static_cast<u32>(x86::rdmsr_or_zero(x2apic_msr(offset))) : read(offset);
}

void write_register(u32 offset, u32 value)
{
    if (is_x2apic())
        (void)x86::safe_wrmsr(x2apic_msr(offset), value);
    else
        write(offset, value);
}

void reset(void (*take_interrupt)())
{
    if (has(x86::rdmsr<ApicBase>(), ApicBase::en))
        reset_apic({read_register, write_register, take_interrupt}, is_x2apic());
}

// Called by x86/exceptions.S for an interrupt in the host, which takes them only during reset().
extern "C" void zpp_on_interrupt();

void zpp_on_interrupt() { write_register(apic_eoi, 0); }

Icr last_command()
{
    if (is_x2apic())
        return Icr::x2apic(x86::rdmsr(Msr::ia32_x2apic_icr));
    return Icr::xapic(read(apic_icr_low), read(apic_icr_high));
}

void send(u32 apic_id, u32 low)
{
    if (is_x2apic()) {
        x86::wrmsr(Msr::ia32_x2apic_icr, u64{apic_id} << 32 | low);
        return;
    }
    const u32 high = read(apic_icr_high);
    wait_until_idle();
    write(apic_icr_high, apic_id << 24);
    write(apic_icr_low, low);
    wait_until_idle();
    write(apic_icr_high, high);
}

void send_nmi(const Vcpu& vcpu)
{
    send(vcpu.apic_id, static_cast<u32>(DeliveryMode::nmi) << 8 | 1u << 14);
}

} // namespace zpp::apic_access
